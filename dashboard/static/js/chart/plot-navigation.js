// Moving along the x axis with the mouse: Shift and drag, or a wheel that turns sideways, moves the span; a wheel with
// Ctrl stretches it around the pointer.
/** @import { Plot } from "./plot.js" */
/** @import { Extent } from "./types.d.ts" */
const SETTLE_MS = 200; // after the last turn of the wheel
const WHEEL_SCALE = 300; // pixels of the wheel that stretch the span by e

/**
 * Follows a drag that has just begun, and zooms to where it ends.
 * @param {Plot} plot
 * @param {uPlot} uplot
 * @param {MouseEvent} start
 */
export function listenToPan(plot, uplot, start) {
  const from = plot.ends.x;
  const spanAt = (/** @type {MouseEvent} */ event) =>
    plot.moved(from, (start.clientX - event.clientX) / uplot.over.clientWidth);
  const move = (/** @type {MouseEvent} */ event) => plot.preview(...spanAt(event));
  const stop = (/** @type {MouseEvent} */ event) => {
    removeEventListener("mousemove", move);
    plot.listener.onZoom(...spanAt(event));
  };
  addEventListener("mousemove", move);
  addEventListener("mouseup", stop, { once: true });
}

/**
 * What the wheel does on a plot.
 * @param {Plot} plot
 * @param {uPlot} uplot
 * @returns {(event: WheelEvent) => void}
 */
export function onWheel(plot, uplot) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settleTimer;
  return (event) => {
    const { ctrlKey: isStretch, deltaX, deltaY } = event;
    if (!isStretch && Math.abs(deltaX) <= Math.abs(deltaY)) return;
    event.preventDefault();
    const at = uplot.posToVal(event.offsetX, "x");
    const span = isStretch
      ? stretched(plot.ends.x, at, Math.exp(deltaY / WHEEL_SCALE))
      : plot.moved(plot.ends.x, deltaX / uplot.over.clientWidth);
    plot.preview(...span);
    clearTimeout(settleTimer);
    settleTimer = setTimeout(() => plot.listener.onZoom(...plot.ends.x), SETTLE_MS);
  };
}

/** @param {Extent} extent @param {number} at @param {number} factor @returns {Extent} */
const stretched = ([lo, hi], at, factor) => [at - (at - lo) * factor, at + (hi - at) * factor];
