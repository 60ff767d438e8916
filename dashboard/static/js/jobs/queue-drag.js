// Dragging a waiting job by its grip. The gap under the pointer is marked; nothing in the list moves before the server
// has moved the job, and refreshes of the list wait for the end of the drag.
import { around, byId, closest, findAll } from "../shared/dom.js";

const EDGE_PX = 70; // this near to the upper or lower edge a drag scrolls the page
const SCROLL_FACTOR = 4; // the scroll of a frame is this part of the distance
const ROWS = "tbody > tr[data-job], tbody > tr:not([data-job]):not(.queue-pool)";

/** @typedef {{ where: "before" | "after", other: HTMLElement }} Gap */
/** @typedef {(job: string, where: string, other?: string) => void} Move */

const queue = () => byId("queue");
const rows = () => findAll(queue(), ROWS);

class Drag {
  /** @param {HTMLElement} row @param {PointerEvent} start */
  constructor(row, start) {
    this.row = row;
    this.pointer = start.pointerId;
    this.y = start.clientY;
    /** @type {Gap | null} */
    this.gap = null;
    this.frame = requestAnimationFrame(() => this.scrollAtEdge());
    queue().dataset.held = "";
    row.classList.add("is-dragged");
    for (const one of rows()) one.classList.toggle("is-other-line", one.dataset.line !== row.dataset.line);
  }

  /** Rows of other lines may lie in between; a gap belongs to the next row of the dragged job's own line. */
  showGap() {
    this.clearGap();
    const line = rows().filter((one) => one.dataset.line === this.row.dataset.line);
    const next = line.find((row) => {
      const { top, height } = row.getBoundingClientRect();
      return this.y < top + height / 2;
    });
    const other = next ?? line[line.length - 1];
    const isSame = other === this.row || (next !== undefined && line[line.indexOf(next) - 1] === this.row);
    if (isSame) return;
    this.gap = { where: next ? "before" : "after", other };
    other.classList.add(next ? "is-gap-before" : "is-gap-after");
  }

  clearGap() {
    this.gap?.other.classList.remove("is-gap-before", "is-gap-after");
    this.gap = null;
  }

  scrollAtEdge() {
    const below = Math.max(0, this.y - (innerHeight - EDGE_PX));
    const distance = this.y < EDGE_PX ? this.y - EDGE_PX : below;
    if (distance) {
      scrollBy(0, distance / SCROLL_FACTOR);
      this.showGap();
    }
    this.frame = requestAnimationFrame(() => this.scrollAtEdge());
  }

  end() {
    this.clearGap();
    cancelAnimationFrame(this.frame);
    for (const row of rows()) row.classList.remove("is-dragged", "is-other-line");
    delete queue().dataset.held;
    document.dispatchEvent(new Event("released"));
  }
}

/** @type {Drag | null} */
let drag = null;

function endDrag() {
  const ended = drag;
  drag = null;
  ended?.end();
}

/** @param {PointerEvent} event */
function startDrag(event) {
  const grip = closest(event, ".grip");
  const row = around(grip, "[data-job]");
  if (!grip || !row || event.button) return;
  drag = new Drag(row, event);
  event.preventDefault();
  grip.focus({ preventScroll: true });
}

/**
 * @param {Move} move called when a job has been dropped into a gap
 */
export function listenToDrag(move) {
  document.addEventListener("pointerdown", startDrag);
  document.addEventListener("pointermove", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    drag.y = event.clientY;
    drag.showGap();
  });
  document.addEventListener("pointerup", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const { row, gap } = drag;
    if (gap) move(row.dataset.job ?? "", gap.where, gap.other.dataset.job);
    endDrag();
  });
  document.addEventListener("pointercancel", endDrag);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !drag) return;
    endDrag();
    event.preventDefault();
  });
}
