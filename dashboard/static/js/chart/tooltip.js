// What lies under the cursor of a chart: as a tooltip, in its legend, and as a sentence for screen readers.
/** @import { Column, CursorEntry, LegendItem, Line, LineStyle, Span, XAxis } from "./types.d.ts" */
import { create } from "../shared/dom.js";
import { formatExact, formatMetric, formatPosition } from "../shared/format.js";
import { lowerBound } from "./extents.js";
import { DASHES } from "./paint.js";

const MAX_ROWS = 14;
const NEAR = 0.03; // of the width: a line that ended further away has no value under the cursor
const GAP_PX = 14; // between the cursor and the tooltip

/**
 * One entry a line that has a point near x, greatest value first.
 * @param {Line[]} lines
 * @param {number} x
 * @param {Span} extent of the x axis
 * @returns {CursorEntry[]}
 */
export function valuesAt(lines, x, { lo, hi }) {
  /** @type {CursorEntry[]} */
  const entries = [];
  for (const line of lines) {
    const row = nearestRow(line.x, x);
    if (row < 0 || Math.abs(line.x[row] - x) > Math.max((hi - lo) * NEAR, halfGap(line.x, row))) continue;
    const value = line.ownValues ? line.ownValues[row] : line.y[row];
    const nonFinite = Number.isNaN(value) ? line.nonFinite.find(([at]) => at === line.x[row])?.[1] : undefined;
    if (Number.isNaN(value) && !nonFinite) continue;
    const band = line.ownValues ? undefined : line;
    entries.push({ line, row, value, nonFinite, low: band?.low?.[row], high: band?.high?.[row] });
  }
  return entries.sort((a, b) => (Number.isNaN(a.value) ? 1 : Number.isNaN(b.value) ? -1 : b.value - a.value));
}

/** @param {Column} xs @param {number} x */
function nearestRow(xs, x) {
  const after = lowerBound(xs, x);
  if (after >= xs.length) return xs.length - 1;
  return after > 0 && x - xs[after - 1] < xs[after] - x ? after - 1 : after;
}

/** @param {Column} xs @param {number} row */
function halfGap(xs, row) {
  return Math.max(row ? xs[row] - xs[row - 1] : 0, row + 1 < xs.length ? xs[row + 1] - xs[row] : 0) / 2;
}

/**
 * The position nearest to x at which an entry has its point.
 * @param {CursorEntry[]} entries
 * @param {number} x
 * @returns {number}
 */
export function nearestPosition(entries, x) {
  if (!entries.length) return x;
  const positions = entries.map(({ line, row }) => line.x[row]);
  return positions.reduce((best, one) => (Math.abs(one - x) < Math.abs(best - x) ? one : best), Infinity);
}

/**
 * @typedef {object} CursorPlace
 * @property {number} x
 * @property {XAxis} axis
 * @property {string} unit
 * @property {number} y the value at the height of the pointer
 * @property {number} left pixels from the left edge of the plot
 * @property {number} width of the plot
 */

/**
 * Fills the tooltip with the rows around the pointer's height: of many lines these are the ones that are looked at.
 * @param {HTMLElement} tooltip
 * @param {CursorEntry[]} entries
 * @param {CursorPlace} place
 */
export function renderTooltip(tooltip, entries, { x, axis, unit, y, left, width }) {
  const isNearer = (/** @type {number} */ one, /** @type {number} */ other) =>
    Math.abs(entries[one].value - y) < Math.abs(entries[other].value - y);
  const nearest = entries.reduce((best, _, index) => (isNearer(index, best) ? index : best), 0);
  const first = Math.max(0, Math.min(nearest - MAX_ROWS / 2, entries.length - MAX_ROWS));
  const shown = entries.slice(first, first + MAX_ROWS);
  const numBelow = entries.length - first - shown.length;
  tooltip.replaceChildren(
    span("tip-x", formatPosition(x, axis)),
    ...(first ? [span("tip-more", `${first} above`)] : []),
    ...shown.map((entry, index) => tooltipRow(entry, unit, entries.length > 1 && first + index === nearest)),
    ...(numBelow > 0 ? [span("tip-more", `${numBelow} below`)] : []),
  );
  placeTooltip(tooltip, left, width);
}

/**
 * Puts a tooltip beside the cursor, on the side with more room.
 * @param {HTMLElement} tooltip
 * @param {number} left of the cursor
 * @param {number} width of the plot
 */
export function placeTooltip(tooltip, left, width) {
  const isRight = left > width / 2;
  tooltip.style.left = isRight ? "" : `${left + GAP_PX}px`;
  tooltip.style.right = isRight ? `${width - left + GAP_PX}px` : "";
}

/** @param {CursorEntry} entry @param {string} unit @param {boolean} isNearest */
function tooltipRow({ line, value, nonFinite, low, high }, unit, isNearest) {
  const row = span(nonFinite ? "tip-row tip-odd" : "tip-row", "");
  row.toggleAttribute("data-near", isNearest);
  const hasRange = low !== undefined && !nonFinite;
  const range = hasRange ? ` (${formatMetric(low, unit)} to ${formatMetric(high, unit)})` : "";
  const text = nonFinite ?? `${formatExact(value, unit)}${range}`;
  row.append(dashSwatch(line), span("tip-name", line.label), span("tip-value", text));
  return row;
}

/**
 * The values under the cursor as a sentence.
 * @param {CursorEntry[]} entries
 * @param {{ x: number, axis: XAxis, unit: string }} place
 * @returns {string}
 */
export function announcement(entries, { x, axis, unit }) {
  const parts = entries.slice(0, MAX_ROWS).map(({ line, value, nonFinite }) =>
    `${line.label} ${nonFinite ?? formatMetric(value, unit)}`);
  if (entries.length > MAX_ROWS) parts.push(`and ${entries.length - MAX_ROWS} more`);
  return `${formatPosition(x, axis)}: ${parts.join(", ")}`;
}

/**
 * Writes the legend; its buttons are replaced only where more than a value differs.
 * @param {HTMLElement} legend
 * @param {LegendItem[]} items
 * @param {(key: string) => void} onToggle
 */
export function renderLegend(legend, items, onToggle) {
  const shape = JSON.stringify(items.map(({ key, label, colour, dash, isShown }) =>
    [key, label, colour, dash, isShown]));
  if (legend.dataset.shape !== shape) {
    legend.dataset.shape = shape;
    legend.replaceChildren(...items.map((item) => legendButton(item, onToggle)));
  }
  items.forEach((item, index) => {
    const value = legend.children[index].lastElementChild;
    if (value) value.textContent = item.value ?? "";
  });
}

/** @param {LegendItem} item @param {(key: string) => void} onToggle */
function legendButton(item, onToggle) {
  const parts = [dashSwatch(item), span("legend-name", item.label), span("legend-value", "")];
  const button = create("button", { type: "button", className: "legend-item" }, ...parts);
  button.setAttribute("aria-pressed", String(item.isShown));
  button.addEventListener("click", () => onToggle(item.key));
  return button;
}

/** @param {LineStyle} style */
function dashSwatch({ colour, dash }) {
  const swatch = create("i", { className: "swatch" });
  swatch.style.setProperty("--stroke", colour);
  swatch.dataset.dash = String(dash % DASHES.length);
  return swatch;
}

/** @param {string} className @param {string} text */
const span = (className, text) => create("span", { className, textContent: text });
