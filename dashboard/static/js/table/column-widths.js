// Widths of columns, dragged at the edge of a head and kept in this browser: a link shows the same columns, but each
// screen its own widths.
import { around, closest, findAll } from "../shared/dom.js";
import { parseJson } from "../shared/requests.js";

const STORED = "runs-widths";
const MIN_WIDTH = 60;
const STEP = 16; // of the keys
const HEADS = "#runs th[data-key]";

/** @returns {Record<string, number>} Column -> pixels. */
function storedWidths() {
  try {
    return parseJson(localStorage.getItem(STORED) ?? "{}") ?? {};
  } catch {
    return {}; // storage may be forbidden
  }
}

/** Gives every column that is shown its width. */
export function fitWidths() {
  const widths = storedWidths();
  for (const head of findAll(document, HEADS)) setWidth(head, widths[head.dataset.key ?? ""]);
}

/** @param {HTMLElement} head @param {number | undefined} width undefined: as the content needs */
function setWidth(head, width) {
  head.style.width = head.style.minWidth = head.style.maxWidth = width ? `${width}px` : "";
}

/** @param {HTMLElement} head @param {number | undefined} width */
function storeWidth(head, width) {
  const widths = storedWidths();
  const key = head.dataset.key ?? "";
  if (width) widths[key] = width;
  else delete widths[key];
  localStorage.setItem(STORED, JSON.stringify(widths));
  setWidth(head, width);
}

/** @param {Event} event The head whose edge an event is on. */
const headOfGrip = (event) => around(closest(event, "[data-grip]"), "th");

/** @param {PointerEvent} start */
function startDrag(start) {
  const head = headOfGrip(start);
  if (!head) return;
  start.preventDefault();
  const { width } = head.getBoundingClientRect();
  const drag = (/** @type {PointerEvent} */ { clientX }) => {
    storeWidth(head, Math.round(Math.max(MIN_WIDTH, width + clientX - start.clientX)));
  };
  document.addEventListener("pointermove", drag);
  document.addEventListener("pointerup", () => document.removeEventListener("pointermove", drag), { once: true });
}

/** @param {KeyboardEvent} event < and > on a head make its column narrower and wider. */
function onKey(event) {
  const head = closest(event, HEADS);
  const by = event.key === "<" ? -STEP : event.key === ">" ? STEP : 0;
  if (!head || !by) return;
  event.preventDefault();
  storeWidth(head, Math.max(MIN_WIDTH, Math.round(head.getBoundingClientRect().width) + by));
}

export function listenToWidths() {
  document.addEventListener("pointerdown", startDrag);
  document.addEventListener("dblclick", (event) => {
    const head = headOfGrip(event);
    if (head) storeWidth(head, undefined);
  });
  document.addEventListener("keydown", onKey);
}
