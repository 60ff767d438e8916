// The options of uPlot: the axes that it draws and the events that it handles.
/** @import { Plot } from "./plot.js" */
import { cssVariable } from "./colours.js";
import { logTickLabels, tickIncrements, tickLabels } from "./ticks.js";

/** Units of the positions on the x axis; those of "time" are dates. */
const X_UNITS = { step: "step", tokens: "tokens", relative: "s", energy: "j", time: "" };
const LOG = 3; // uPlot's distribution of a logarithmic scale
const FONT = '11px "Inter", sans-serif';
const X_SIZE = 30;
const Y_SIZE = 68;
const Y_SPACE = 34;
const MIN_SELECTION = 4; // pixels; less is a click

/**
 * @param {string} unit
 * @returns {2 | 10}
 */
export const logBase = (unit) => (unit.startsWith("bytes") ? 2 : 10);

/**
 * The look that all axes share.
 * @returns {uPlot.Axis}
 */
export const axisStyle = () => ({
  stroke: cssVariable("--ink-3"),
  grid: { stroke: cssVariable("--grid"), width: 1 },
  ticks: { show: false },
  font: FONT,
});

/**
 * @param {Plot} plot
 * @returns {uPlot.Options}
 */
export function uplotOptions(plot) {
  const { display, options } = plot;
  const isTime = display.x === "time";
  return {
    ...plot.holderSize(),
    legend: { show: false },
    padding: [12, 14, 0, 0],
    scales: {
      x: { time: isTime, ...(display.logX ? { distr: LOG, log: 10 } : {}), range: () => plot.ends.x },
      y: { ...(display.logY ? { distr: LOG, log: logBase(options.unit) } : {}), range: () => plot.ends.y },
    },
    axes: [isTime ? { ...axisStyle(), size: X_SIZE, space: 70 } : xAxis(plot), yAxis(plot)],
    series: [{}, { scale: "y", paths: () => null, points: { show: false } }],
    cursor: cursorOptions(plot),
    hooks: hooks(plot),
  };
}

/** @param {Plot} plot @returns {uPlot.Axis} */
function xAxis({ display }) {
  const unit = X_UNITS[display.x];
  return { ...axisStyle(), ...(display.logX ? logTicks(unit) : linearTicks(unit)), size: X_SIZE, space: xSpace };
}

/** @type {Extract<uPlot.Axis.Space, Function>} Longer texts need more room from one to the next. */
const xSpace = (_, __, low, high) => (Math.abs(high) >= 3600 || high - low < 10 ? 78 : 52);

/** @param {Plot} plot @returns {uPlot.Axis} */
function yAxis({ display, options }) {
  const ticks = display.logY ? logTicks(options.unit) : linearTicks(display.unit ?? options.unit);
  return { ...axisStyle(), ...ticks, size: Y_SIZE, space: Y_SPACE };
}

/** @param {string} unit @returns {uPlot.Axis} */
const linearTicks = (unit) => ({
  incrs: tickIncrements(unit),
  values: (_, splits, _axis, _space, step) => tickLabels(splits, unit, step),
});

/** @param {string} unit @returns {uPlot.Axis} */
const logTicks = (unit) => ({ values: (_, splits) => logTickLabels(splits, unit) });

/**
 * Dragging selects a span; the cursors of all charts with the same x axis move together.
 * @param {Plot} plot
 * @returns {uPlot.Cursor}
 */
function cursorOptions(plot) {
  return {
    y: false,
    drag: { x: true, y: false, setScale: false },
    points: { show: false },
    sync: {
      key: `fourwalls-${plot.display.x}`,
      setSeries: false,
      filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
    },
    bind: {
      dblclick: () => () => {
        plot.listener.onReset();
        return null;
      },
      mousedown: (_, _target, handle) => (event) => {
        if (!event.shiftKey || event.button !== 0) return handle(event);
        plot.startPan(event);
        return null;
      },
    },
  };
}

/** @param {Plot} plot @returns {uPlot.Hooks.Arrays} */
function hooks(plot) {
  const { holder } = plot.options;
  return {
    setCursor: [(uplot) => {
      const left = uplot.cursor.left ?? -1;
      const isHere = uplot.over.matches(":hover") || holder === document.activeElement;
      plot.listener.onCursor(left >= 0 ? uplot.posToVal(left, "x") : null, isHere);
    }],
    setSelect: [(uplot) => {
      const { left, width } = uplot.select;
      if (width < MIN_SELECTION) return;
      plot.listener.onZoom(uplot.posToVal(left, "x"), uplot.posToVal(left + width, "x"));
      uplot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }],
    draw: [(uplot) => plot.paintOn(uplot)],
  };
}
