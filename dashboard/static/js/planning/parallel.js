// Runs as lines over several axes; dragging along an axis keeps the runs within that range.
/** @import { PictureListener, Point, RunRow, Scale, TradeoffState } from "./types.d.ts" */
import { computedColour, createCanvas, strokeLine, truncated } from "./canvas.js";
import { createScale } from "./scale.js";

const EDGE = { left: 40, right: 40, top: 34, bottom: 16 };
const REACH_PX = 22; // how far from an axis a drag still means it
const NEAR_PX = 7; // how far from a line the pointer still means it
const MIN_BRUSH = 0.01; // of the axis; less is a click
const BRUSH_WIDTH = 14;

/** @typedef {{ field: number, left: number, scale: Scale }} ParallelAxis */
/** @typedef {{ row: RunRow, points: (Point | null)[] }} RunLine One point an axis; null: the run has no value. */
/** @typedef {{ width: number, height: number }} Size */
/** @typedef {PictureListener & { onBrush(): void }} ParallelListener */

export class Parallel {
  /**
   * @param {HTMLElement} container
   * @param {TradeoffState} state
   * @param {ParallelListener} listener
   */
  constructor(container, state, listener) {
    this.container = container;
    this.state = state;
    this.listener = listener;
    /** @type {RunLine[]} */
    this.lines = [];
    /** @type {ParallelAxis[]} */
    this.axes = [];
    /** @type {{ axis: ParallelAxis, from: number } | null} */
    this.drag = null;
    this.redraw = createCanvas(container, (context, width, height) => this.draw(context, width, height));
    container.addEventListener("pointerdown", (event) => this.onDown(event));
    container.addEventListener("pointermove", (event) => this.onMove(event));
    container.addEventListener("pointerup", (event) => this.onUp(event));
    container.addEventListener("pointerleave", () => this.listener.onHover(null, null));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  draw(context, width, height) {
    const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
    this.axes = this.state.axes.map((field, index) => this.axis(field, index, inner));
    this.lines = this.state.rows.map((row) => ({ row, points: this.axes.map((axis) => pointOn(axis, row, inner)) }));
    const isKept = (/** @type {RunLine} */ { row }) => this.state.kept.has(row.id);
    for (const line of this.lines) if (!isKept(line)) this.drawLine(context, line, false);
    for (const line of this.lines) if (isKept(line)) this.drawLine(context, line, true);
    for (const axis of this.axes) this.drawAxis(context, axis, inner, width);
  }

  /** @param {number} field @param {number} index @param {Size} inner @returns {ParallelAxis} */
  axis(field, index, inner) {
    const { axes, fields, rows } = this.state;
    const fraction = axes.length === 1 ? 0.5 : index / (axes.length - 1);
    const options = { log: /** @type {const} */ ("auto"), ticks: Math.max(2, inner.height / 50) };
    const scale = createScale(fields[field], rows.map((row) => row.values[field]), options);
    return { field, left: EDGE.left + inner.width * fraction, scale };
  }

  /**
   * A run without a value on an axis has a gap there, never a line to a made-up point.
   * @param {CanvasRenderingContext2D} context
   * @param {RunLine} line
   * @param {boolean} isKept
   */
  drawLine(context, { row, points }, isKept) {
    const isHovered = this.state.hovered === row.id;
    const keptAlpha = Math.max(0.28, Math.min(0.85, 40 / this.state.rows.length));
    context.globalAlpha = isHovered ? 1 : isKept ? keptAlpha : 0.06;
    context.strokeStyle = computedColour(this.state.stroke(row));
    context.lineWidth = isHovered ? 3 : 1.4;
    context.beginPath();
    points.forEach((point, index) => {
      if (!point) return;
      if (!points[index - 1]) context.moveTo(point.left - 3, point.top); // a point alone is a short stroke
      context.lineTo(point.left, point.top);
      if (!points[index + 1]) context.lineTo(point.left + 3, point.top);
    });
    context.stroke();
    context.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} context @param {ParallelAxis} axis @param {Size} inner @param {number} width */
  drawAxis(context, axis, inner, width) {
    const room = Math.max(48, width / Math.max(1, this.axes.length) - 10);
    const isLast = axis === this.axes.at(-1) && this.axes.length > 1;
    context.strokeStyle = computedColour("--line-strong");
    context.lineWidth = 1;
    strokeLine(context, axis.left, EDGE.top, axis.left, EDGE.top + inner.height);
    this.drawTitle(context, axis, isLast, room);
    drawTicks(context, axis, inner, isLast, room);
    const brush = this.state.brushes.get(axis.field);
    if (!brush) return;
    const [low, high] = brush;
    context.fillStyle = computedColour("--accent-text");
    context.globalAlpha = 0.28;
    const top = EDGE.top + (1 - high) * inner.height;
    context.fillRect(axis.left - BRUSH_WIDTH / 2, top, BRUSH_WIDTH, (high - low) * inner.height);
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {ParallelAxis} axis
   * @param {boolean} isLast
   * @param {number} room
   */
  drawTitle(context, axis, isLast, room) {
    const isFirst = axis === this.axes[0];
    const shift = isFirst ? -EDGE.left + 6 : isLast ? EDGE.right - 6 : 0;
    context.fillStyle = computedColour("--ink-2");
    context.textAlign = isFirst ? "left" : isLast ? "right" : "center";
    context.textBaseline = "top";
    context.fillText(truncated(context, this.state.fields[axis.field].label, room), axis.left + shift, 8);
  }

  /** @param {number} top @returns {number} The place on an axis at this height, between 0 and 1. */
  placeAt(top) {
    const height = this.container.clientHeight - EDGE.top - EDGE.bottom;
    return Math.min(1, Math.max(0, 1 - (top - EDGE.top) / height));
  }

  /** @param {Point} at */
  axisAt({ left }) {
    return this.axes.find((axis) => Math.abs(axis.left - left) <= REACH_PX);
  }

  /** @param {PointerEvent} event @returns {Point} */
  pointOf({ clientX, clientY }) {
    const { left, top } = this.container.getBoundingClientRect();
    return { left: clientX - left, top: clientY - top };
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    const at = this.pointOf(event);
    const axis = this.axisAt(at);
    if (event.button || !axis) return;
    this.drag = { axis, from: this.placeAt(at.top) };
    this.container.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const at = this.pointOf(event);
    if (this.drag) {
      const { axis, from } = this.drag;
      const to = this.placeAt(at.top);
      if (Math.abs(to - from) > MIN_BRUSH) this.state.brushes.set(axis.field, [Math.min(to, from), Math.max(to, from)]);
      this.listener.onBrush();
      return;
    }
    const near = this.nearest(at);
    this.container.style.cursor = this.axisAt(at) ? "ns-resize" : near ? "pointer" : "default";
    this.listener.onHover(near, at);
  }

  /** @param {PointerEvent} event A click on an axis takes its range away; one on a line opens its run. */
  onUp(event) {
    const at = this.pointOf(event);
    if (!this.drag) {
      const near = this.nearest(at);
      if (near) this.listener.onOpen(near);
      return;
    }
    const { axis, from } = this.drag;
    if (Math.abs(this.placeAt(at.top) - from) <= MIN_BRUSH) this.state.brushes.delete(axis.field);
    this.listener.onBrush();
    this.drag = null;
  }

  /** @param {Point} at @returns {RunRow | null} */
  nearest(at) {
    let nearest = null;
    let least = NEAR_PX;
    for (const { row, points } of this.lines) {
      if (!this.state.kept.has(row.id)) continue;
      for (let index = 1; index < points.length; index += 1) {
        const distance = distanceTo(points[index - 1], points[index], at);
        if (distance < least) [nearest, least] = [row, distance];
      }
    }
    return nearest;
  }

  /**
   * Whether a run lies within every range; one without a value on such an axis does not.
   * @param {RunRow} row
   * @returns {boolean}
   */
  isWithin(row) {
    return [...this.state.brushes].every(([field, [low, high]]) => {
      const at = this.axes.find((axis) => axis.field === field)?.scale.place(row.values[field]) ?? null;
      return at !== null && at >= low && at <= high;
    });
  }
}

/** @param {ParallelAxis} axis @param {RunRow} row @param {Size} inner @returns {Point | null} */
function pointOn({ field, left, scale }, row, inner) {
  const at = scale.place(row.values[field]);
  return at === null ? null : { left, top: EDGE.top + (1 - at) * inner.height };
}

/**
 * Vertical distance of a point from the stroke between two others; infinite where it does not lie between them.
 * @param {Point | null} a
 * @param {Point | null} b
 * @param {Point} at
 */
function distanceTo(a, b, { left, top }) {
  if (!a || !b || left < a.left || left > b.left) return Infinity;
  return Math.abs(a.top + ((b.top - a.top) * (left - a.left)) / (b.left - a.left) - top);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ParallelAxis} axis
 * @param {Size} inner
 * @param {boolean} isLast
 * @param {number} room
 */
function drawTicks(context, axis, inner, isLast, room) {
  context.textAlign = isLast ? "right" : "left";
  context.textBaseline = "middle";
  const left = axis.left + (isLast ? -7 : 7);
  for (const tick of axis.scale.ticks) {
    const y = EDGE.top + (1 - tick.at) * inner.height;
    const text = truncated(context, tick.text, Math.max(34, room / 2));
    context.lineWidth = 3;
    context.strokeStyle = computedColour("--surface");
    context.strokeText(text, left, y);
    context.fillStyle = computedColour("--ink-2");
    context.fillText(text, left, y);
    context.lineWidth = 1;
    context.strokeStyle = computedColour("--line-strong");
    strokeLine(context, axis.left - 3, y, axis.left + 3, y);
  }
}
