// The axes of a chart for another renderer, as uPlot has last drawn them.
/** @import { Renderer } from "./types.d.ts" */
import { cssVariable } from "./colours.js";

const TEXT_SIZE = 11;
const LINE_HEIGHT = 12;

/** @typedef {{ _splits?: (number | null)[], _values: (string | number | null)[] }} DrawnTicks Internals of uPlot. */

/**
 * @param {Renderer} renderer
 * @param {uPlot} uplot
 * @param {uPlot.BBox} box
 */
export function copyAxes(renderer, uplot, box) {
  const [xTicks, yTicks] = /** @type {(uPlot.Axis & DrawnTicks)[]} */ (uplot.axes);
  forEachTick(xTicks, (value, text) => {
    paintXTick(renderer, box, uplot.valToPos(value, "x") + box.left, text);
  });
  forEachTick(yTicks, (value, text) => {
    paintYTick(renderer, box, uplot.valToPos(value, "y") + box.top, text);
  });
}

/** @param {DrawnTicks} ticks @param {(value: number, text: string) => void} paint */
function forEachTick({ _splits, _values }, paint) {
  _splits?.forEach((value, index) => {
    if (value !== null) paint(value, String(_values[index] || ""));
  });
}

/** @param {Renderer} renderer @param {uPlot.BBox} box @param {number} at @param {string} text may have two lines */
function paintXTick(renderer, { top, height }, at, text) {
  paintGridLine(renderer, at, top, at, top + height);
  if (!text) return;
  text.split("\n").forEach((line, row) => {
    const style = { colour: cssVariable("--ink-3"), size: TEXT_SIZE, align: /** @type {const} */ ("center") };
    renderer.text(line, at, top + height + 17 + LINE_HEIGHT * row, style);
  });
}

/** @param {Renderer} renderer @param {uPlot.BBox} box @param {number} at @param {string} text */
function paintYTick(renderer, { left, width }, at, text) {
  paintGridLine(renderer, left, at, left + width, at);
  if (!text) return;
  renderer.text(text.split("\n")[0], left - 5, at + 4, {
    colour: cssVariable("--ink-3"), size: TEXT_SIZE, align: "right",
  });
}

/** @param {Renderer} renderer @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function paintGridLine(renderer, x0, y0, x1, y1) {
  const path = renderer.path();
  path.moveTo(x0, y0);
  path.lineTo(x1, y1);
  renderer.stroke(path, { colour: cssVariable("--grid"), alpha: 1, width: 1 });
}
