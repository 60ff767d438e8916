// Runs as points between two goals, with the Pareto front. A rectangle drawn over the points keeps those within it.
/** @import { Axis, PictureListener, Point, RunRow, Scale, TradeoffState } from "./types.d.ts" */
import { computedColour, createCanvas, strokeLine, truncated } from "./canvas.js";
import { paretoFront } from "./pareto.js";
import { createScale } from "./scale.js";

const EDGE = { left: 74, right: 16, top: 14, bottom: 40 };
const NEAR_PX = 14; // how far from a point the pointer still means it
const DRAG_PX = 4; // less is a click
const RADIUS = 4.5;
const MAX_X_LABEL = 86;

/** @typedef {Point & { row: RunRow }} PlacedRun */
/** @typedef {Point & { width: number, height: number }} Box */
/** @typedef {PictureListener & { onBox(ids: string[]): void }} ScatterListener */

export class Scatter {
  /**
   * @param {HTMLElement} container
   * @param {TradeoffState} state
   * @param {ScatterListener} listener
   */
  constructor(container, state, listener) {
    this.container = container;
    this.state = state;
    this.listener = listener;
    /** @type {PlacedRun[]} Runs that have a value for both goals. */
    this.points = [];
    /** @type {Set<string>} Ids of the runs on the front. */
    this.front = new Set();
    /** @type {Point | null} Where the pointer went down. */
    this.start = null;
    /** @type {Box | null} While a rectangle is drawn. */
    this.box = null;
    this.redraw = createCanvas(container, (context, width, height) => this.draw(context, width, height));
    container.addEventListener("pointerdown", (event) => this.onDown(event));
    container.addEventListener("pointermove", (event) => this.onMove(event));
    container.addEventListener("pointerup", (event) => this.onUp(event));
    container.addEventListener("pointerleave", () => this.listener.onHover(null, null));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  draw(context, width, height) {
    const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
    const scales = { x: this.scale("x", Math.min(8, inner.width / 50)), y: this.scale("y", inner.height / 45) };
    this.points = this.state.rows.flatMap((row) => {
      const x = scales.x.place(row.values[this.state.x]);
      const y = scales.y.place(row.values[this.state.y]);
      if (x === null || y === null) return [];
      return [{ row, left: EDGE.left + x * inner.width, top: EDGE.top + (1 - y) * inner.height }];
    });
    this.front = paretoFront(this.points.map(({ row }) => row), this.state);
    drawTicks(context, scales, width, height);
    this.drawTitles(context, width, height);
    this.drawFront(context);
    const isKept = (/** @type {PlacedRun} */ { row }) => this.state.kept.has(row.id);
    for (const point of this.points) if (!isKept(point)) this.drawPoint(context, point, false);
    for (const point of this.points) if (isKept(point)) this.drawPoint(context, point, true);
    if (this.box) drawBox(context, this.box);
  }

  /** @param {Axis} axis @param {number} ticks */
  scale(axis, ticks) {
    const { fields, rows, log } = this.state;
    const field = this.state[axis];
    const values = rows.map((row) => row.values[field]);
    return createScale(fields[field], values, { log: log[axis], ticks: Math.max(2, ticks) });
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  drawTitles(context, width, height) {
    const { fields, x, y } = this.state;
    const innerWidth = width - EDGE.left - EDGE.right;
    context.fillStyle = computedColour("--ink-2");
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText(truncated(context, `↑ ${fields[y].label}`, innerWidth / 2), EDGE.left + 2, 1);
    context.textAlign = "right";
    context.fillText(truncated(context, `${fields[x].label} →`, innerWidth), width - EDGE.right, height - 16);
  }

  /** @param {CanvasRenderingContext2D} context Steps, not slanted lines: nothing is known between two runs. */
  drawFront(context) {
    const front = this.points.filter(({ row }) => this.front.has(row.id));
    front.sort((a, b) => a.left - b.left || a.top - b.top);
    if (front.length < 2) return;
    context.strokeStyle = computedColour("--accent-text");
    context.setLineDash([5, 4]);
    context.lineWidth = 1.25;
    context.beginPath();
    front.forEach(({ left, top }, index) => {
      if (!index) {
        context.moveTo(left, top);
        return;
      }
      // The corner lies on the worse side: up to the next run nothing as good is known.
      const before = front[index - 1];
      if (this.state.best.x === "low") context.lineTo(left, before.top);
      else context.lineTo(before.left, top);
      context.lineTo(left, top);
    });
    context.stroke();
    context.setLineDash([]);
  }

  /** @param {CanvasRenderingContext2D} context @param {PlacedRun} point @param {boolean} isKept */
  drawPoint(context, { row, left, top }, isKept) {
    const isFront = this.front.has(row.id);
    context.globalAlpha = isKept ? (isFront ? 1 : 0.72) : 0.13;
    context.fillStyle = computedColour(this.state.stroke(row));
    context.beginPath();
    context.arc(left, top, isFront ? RADIUS + 1.5 : RADIUS, 0, 2 * Math.PI);
    context.fill();
    if (isFront) {
      context.strokeStyle = computedColour("--ink");
      context.lineWidth = 1.5;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** @param {Point} at @returns {PlacedRun | null} */
  nearest(at) {
    let nearest = null;
    let least = NEAR_PX;
    for (const point of this.points) {
      const distance = Math.hypot(point.left - at.left, point.top - at.top);
      if (distance < least) [nearest, least] = [point, distance];
    }
    return nearest;
  }

  /** @param {PointerEvent} event @returns {Point} */
  pointOf({ clientX, clientY }) {
    const { left, top } = this.container.getBoundingClientRect();
    return { left: clientX - left, top: clientY - top };
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (event.button) return;
    this.start = this.pointOf(event);
    this.container.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const at = this.pointOf(event);
    const { start } = this;
    if (start && Math.hypot(at.left - start.left, at.top - start.top) > DRAG_PX) {
      this.box = boxBetween(start, at);
      this.redraw();
    }
    const near = start ? null : this.nearest(at);
    this.container.style.cursor = near ? "pointer" : "crosshair";
    this.listener.onHover(near?.row ?? null, near);
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    const { box, start } = this;
    const near = this.nearest(this.pointOf(event));
    if (box) this.listener.onBox(this.points.filter((point) => isWithin(point, box)).map(({ row }) => row.id));
    else if (near && start) this.listener.onOpen(near.row);
    this.start = this.box = null;
    this.redraw();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Record<Axis, Scale>} scales
 * @param {number} width
 * @param {number} height
 */
function drawTicks(context, scales, width, height) {
  const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
  context.strokeStyle = computedColour("--grid");
  context.fillStyle = computedColour("--ink-3");
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const { at, text } of scales.y.ticks) {
    const top = Math.round(EDGE.top + (1 - at) * inner.height) + 0.5;
    strokeLine(context, EDGE.left, top, width - EDGE.right, top);
    context.fillText(truncated(context, text, EDGE.left - 12), EDGE.left - 8, top);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const { at, text } of scales.x.ticks) {
    const left = Math.round(EDGE.left + at * inner.width) + 0.5;
    strokeLine(context, left, EDGE.top, left, height - EDGE.bottom);
    context.fillText(truncated(context, text, MAX_X_LABEL), left, height - EDGE.bottom + 6);
  }
}

/** @param {CanvasRenderingContext2D} context @param {Box} box */
function drawBox(context, { left, top, width, height }) {
  context.fillStyle = computedColour("--accent-soft");
  context.strokeStyle = computedColour("--accent-text");
  context.globalAlpha = 0.5;
  context.fillRect(left, top, width, height);
  context.globalAlpha = 1;
  context.strokeRect(left, top, width, height);
}

/** @param {Point} a @param {Point} b @returns {Box} */
function boxBetween(a, b) {
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    width: Math.abs(a.left - b.left),
    height: Math.abs(a.top - b.top),
  };
}

/** @param {Point} point @param {Box} box */
function isWithin({ left, top }, box) {
  return left >= box.left && left <= box.left + box.width && top >= box.top && top <= box.top + box.height;
}
