// One chart: uPlot draws axes and follows the pointer, chart/paint.js draws the lines.
import { token } from "./colours.js";
import { followFingers } from "./touch.js";
import { paintBorders, paintLines, paintOdd, paintOutside } from "./paint.js";
import { canvasPen } from "./renderers.js";
import { outsideOf, withoutOutliers, xExtent, yExtent } from "./extents.js";
import { increments, logRange, logTexts, tickTexts } from "./ticks.js";

export const X_UNITS = { step: "step", tokens: "tokens", relative: "s", energy: "j" };

// panel: {holder, tooltip, unit, floor, ceiling, border(attempt) or null}
// page: {onZoom(lo, hi), onReset(), onCursor(x or null, isHere), onOutside({above, below})}
// look: {x, span, logX, logY, range, cut, emphasis}, and unit and ceiling where they are not the panel's
export function makePlot(panel, page) {
  let plot = null;
  let lines = [];
  let look = null;
  let shape = "";
  let ends = { x: [0, 1], y: [0, 1] };
  let outside = { above: [], below: [] };

  function draw(nextLines, nextLook) {
    [lines, look] = [nextLines, nextLook];
    ends = endsOf(lines, look);
    outside = look.cut ? outsideOf(lines, ends.x, ends.y, look.logY) : { above: [], below: [] };
    page.onOutside(outside);
    const next = [look.x, look.logX, look.logY, look.unit, document.documentElement.dataset.bsTheme].join(" ");
    if (plot && next === shape) plot.setScale("x", { min: ends.x[0], max: ends.x[1] });
    else build();
    shape = next;
  }

  function endsOf(some, { span, logX, logY, cut }) {
    const x = span ? [logX ? Math.max(span.lo, Number.MIN_VALUE) : span.lo, span.hi] : xExtent(some, logX) ?? [0, 1];
    const whole = yExtent(some, x, logY);
    if (!whole) return { x, y: logY ? [1, 10] : [panel.floor ?? 0, panel.ceiling ?? 1] };
    const inner = cut ? withoutOutliers(some, x, whole, logY) : null;
    if (inner && panel.floor !== null && whole.lo >= panel.floor) inner.lo = panel.floor;
    return { x, y: inner ? [inner.lo, inner.hi] : logY ? logRange(whole.lo, whole.hi, logBase) : padded(whole), isCut: Boolean(inner) };
  }

  function padded({ lo, hi }) {
    const bottom = panel.floor ?? lo;
    const pad = (hi - bottom || Math.abs(hi) || 1) * 0.08;
    const ceiling = look.ceiling ?? panel.ceiling;
    return [panel.floor === null ? lo - pad : Math.min(panel.floor, lo), ceiling === null ? hi + pad : Math.max(ceiling, hi)];
  }

  const logBase = panel.unit.startsWith("bytes") ? 2 : 10;

  function build() {
    plot?.destroy();
    plot = new uPlot(options(), [ends.x, [null, null]], panel.holder);
    plot.over.append(panel.tooltip);
    followFingers(plot.over, {
      valueAt: (left) => plot.posToVal(left, "x"),
      cursor: (left) => { panel.holder.focus({ preventScroll: true }); plot.setCursor({ left, top: plot.over.clientHeight / 3 }); },
      preview: show,
      settle: page.onZoom,
    });
    plot.over.addEventListener("wheel", onWheel, { passive: false });
  }

  // Before the finer points come, what is there is shown where it will be.
  function show(lo, hi) {
    ends = endsOf(lines, { ...look, span: { lo, hi } });
    plot.setScale("x", { min: lo, max: hi });
  }

  function options() {
    const axis = { stroke: token("--ink-3"), grid: { stroke: token("--grid"), width: 1 }, ticks: { show: false }, font: '11px "Inter", sans-serif' };
    const isTime = look.x === "time";
    const log = (isLog) => (isLog ? { distr: 3, log: logBase } : {});
    return {
      width: Math.max(50, panel.holder.clientWidth), height: panel.holder.clientHeight, legend: { show: false }, padding: [12, 14, 0, 0],
      scales: { x: { time: isTime, ...(look.logX ? { distr: 3, log: 10 } : {}), range: () => ends.x }, y: { ...log(look.logY), range: () => ends.y } },
      axes: [
        isTime ? { ...axis, size: 30, space: 70 } : { ...axis, ...(look.logX ? { values: (_, splits) => logTexts(splits, X_UNITS[look.x]) } : ticksOf(X_UNITS[look.x])), size: 30, space: xSpace },
        { ...axis, ...(look.logY ? { values: (_, splits) => logTexts(splits, panel.unit) } : ticksOf(look.unit ?? panel.unit)), size: 68, space: 34 },
      ],
      series: [{}, { scale: "y", paths: () => null, points: { show: false } }],
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false }, points: { show: false },
        sync: { key: `fourwalls-${look.x}`, setSeries: false, filters: { pub: (kind) => kind === "mousemove" || kind === "mouseleave" } },
        bind: { dblclick: () => () => { page.onReset(); return null; }, mousedown: (u, target, handle) => (event) => (event.shiftKey && event.button === 0 ? pan(event) : handle(event)) },
      },
      hooks: {
        setCursor: [(u) => page.onCursor(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null, u.over.matches(":hover") || panel.holder === document.activeElement)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          page.onZoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        draw: [(u) => {
          u.ctx.save(); // uPlot remembers what it set last
          paint(canvasPen(u.ctx), frame(devicePixelRatio, u.bbox));
          u.ctx.restore();
        }],
      },
    };
  }

  const ticksOf = (unit) => ({ incrs: increments(unit), values: (_, splits, axis, space, step) => tickTexts(splits, unit, step) });
  // Longer texts need more room from one to the next.
  const xSpace = (_, axis, low, high) => (Math.abs(high) >= 3600 || high - low < 10 ? 78 : 52);
  const frame = (ratio, { left, top, width, height }) => ({ ratio, left, top, width, height, ...ends, logX: look.logX, logY: look.logY });

  function paint(pen, place) {
    paintLines(pen, lines, place, look);
    const borders = new Map(lines.flatMap((line) => line.borders.map((at, index) => [at, line.attempts[index]])));
    paintBorders(pen, [...borders], place, { colour: token("--ink-3"), ink: token("--ink-2"), name: panel.border });
    paintOdd(pen, lines, place, token("--bad"));
    paintOutside(pen, outside, place);
  }

  // Shift and drag, or a wheel that turns sideways, moves the span; a wheel with Ctrl stretches it around the pointer.
  function pan(event) {
    const [from, [lo, hi]] = [event.clientX, ends.x];
    const shift = ({ clientX }) => moved(lo, hi, (from - clientX) / plot.over.clientWidth);
    const move = (now) => show(...shift(now));
    const stop = (now) => { removeEventListener("mousemove", move); page.onZoom(...shift(now)); };
    addEventListener("mousemove", move);
    addEventListener("mouseup", stop, { once: true });
  }

  function moved(lo, hi, share) {
    if (!look.logX) return [lo + (hi - lo) * share, hi + (hi - lo) * share];
    const factor = (hi / lo) ** share;
    return [lo * factor, hi * factor];
  }

  let settling = null;
  function onWheel(event) {
    const isStretch = event.ctrlKey;
    if (!isStretch && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    const [lo, hi] = ends.x;
    const at = plot.posToVal(event.offsetX, "x");
    const factor = Math.exp(event.deltaY / 300);
    show(...(isStretch ? [at - (at - lo) * factor, at + (hi - at) * factor] : moved(lo, hi, event.deltaX / plot.over.clientWidth)));
    clearTimeout(settling);
    settling = setTimeout(() => page.onZoom(...ends.x), 200);
  }

  return {
    draw,
    lines: () => lines,
    look: () => look,
    isCut: () => Boolean(ends.isCut),
    extent: () => (plot && lines.length ? { lo: ends.x[0], hi: ends.x[1] } : null),
    cursor: () => (plot && plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : undefined),
    yAt: () => (plot ? plot.posToVal(plot.cursor.top, "y") : null),
    setCursor: (x) => plot.setCursor({ left: plot.valToPos(x, "x"), top: plot.over.clientHeight / 3 }),
    place: () => ({ left: plot.cursor.left, width: plot.over.clientWidth }),
    emphasise: (owner) => { if (plot && look.emphasis !== owner) { look = { ...look, emphasis: owner }; plot.redraw(false); } },
    redraw: () => plot && draw(lines, look),
    resize: () => plot?.setSize({ width: Math.max(50, panel.holder.clientWidth), height: panel.holder.clientHeight }),
    // Axes and lines on another pen, its upper left corner at (0, 0), in CSS pixels.
    copyTo: (pen) => {
      const bbox = Object.fromEntries(Object.entries(plot.bbox).map(([name, value]) => [name, value / devicePixelRatio]));
      copyAxes(pen, plot, bbox);
      paint(pen, frame(1, bbox));
    },
    size: () => ({ width: plot.width, height: plot.height }),
  };
}

// uPlot keeps the ticks that it last drew; axes[1] is the one on the left.
function copyAxes(pen, plot, { left, top, width, height }) {
  const [ink, grid] = [token("--ink-3"), token("--grid")];
  plot.axes.forEach((axis, side) => axis._splits?.forEach((value, index) => {
    if (value === null) return;
    const at = plot.valToPos(value, side ? "y" : "x") + (side ? top : left);
    const text = axis._values[index];
    const path = pen.path();
    if (side) { path.moveTo(left, at); path.lineTo(left + width, at); } else { path.moveTo(at, top); path.lineTo(at, top + height); }
    pen.stroke(path, { colour: grid, alpha: 1, width: 1 });
    if (!text) return;
    const lines = String(text).split("\n");
    if (side) pen.text(lines[0], left - 5, at + 4, { colour: ink, size: 11, align: "right" });
    else lines.forEach((one, row) => pen.text(one, at, top + height + 17 + 12 * row, { colour: ink, size: 11, align: "center" }));
  }));
}
