// Touch on a chart: one finger moves the cursor, two stretch and move the span. Up and down still scrolls the page.
const MIN_DISTANCE_PX = 16; // fingers that lie closer do not stretch any further

/**
 * @typedef {object} TouchListener
 * @property {(left: number) => void} moveCursor to pixels from the left edge of the plot
 * @property {(lo: number, hi: number) => void} preview of a span, while fingers move
 * @property {(lo: number, hi: number) => void} zoom to the span, once a finger is lifted
 * @property {(left: number) => number} valueAt the value at pixels from the left edge of the plot
 */

/** @typedef {{ ids: [number, number], values: [number, number] }} Pinch Two fingers and the values under them. */

class TouchGesture {
  /** @param {HTMLElement} area @param {TouchListener} listener */
  constructor(area, listener) {
    this.area = area;
    this.listener = listener;
    /** @type {Map<number, number>} Finger -> pixels from the left. */
    this.fingers = new Map();
    /** @type {Pinch | null} */
    this.pinch = null;
    /** @type {[lo: number, hi: number] | null} */
    this.span = null;
  }

  /** @param {PointerEvent} event */
  leftOf(event) {
    return event.clientX - this.area.getBoundingClientRect().left;
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.pointerType !== "touch") return;
    this.fingers.set(event.pointerId, this.leftOf(event));
    if (this.fingers.size === 1) this.listener.moveCursor(this.leftOf(event));
    this.pinch = this.fingers.size === 2 ? this.startPinch() : null;
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.fingers.has(event.pointerId)) return;
    this.fingers.set(event.pointerId, this.leftOf(event));
    if (this.pinch) this.stretch(this.pinch);
    else if (this.fingers.size === 1) this.listener.moveCursor(this.leftOf(event));
  }

  /** @param {PointerEvent} event */
  up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    this.pinch = null;
    if (this.span) this.listener.zoom(...this.span);
    this.span = null;
  }

  /** @returns {Pinch} */
  startPinch() {
    const [[leftId, left], [rightId, right]] = [...this.fingers].sort((a, b) => a[1] - b[1]);
    return { ids: [leftId, rightId], values: [this.listener.valueAt(left), this.listener.valueAt(right)] };
  }

  /**
   * Previews the span at which both values lie under their fingers again.
   * @param {Pinch} pinch
   */
  stretch({ ids, values: [low, high] }) {
    const [left, right] = ids.map((id) => this.fingers.get(id) ?? 0);
    const width = this.area.clientWidth;
    const size = ((high - low) * width) / Math.max(MIN_DISTANCE_PX, right - left);
    if (!(size > 0)) return;
    const lo = low - (left / width) * size;
    this.span = [lo, lo + size];
    this.listener.preview(...this.span);
  }
}

/**
 * @param {HTMLElement} area the plot without its axes
 * @param {TouchListener} listener
 */
export function listenToTouch(area, listener) {
  const gesture = new TouchGesture(area, listener);
  area.addEventListener("pointerdown", (event) => gesture.down(event));
  area.addEventListener("pointermove", (event) => gesture.move(event));
  area.addEventListener("pointerup", (event) => gesture.up(event));
  area.addEventListener("pointercancel", (event) => gesture.up(event));
  area.addEventListener("pointerleave", (event) => gesture.up(event));
}
