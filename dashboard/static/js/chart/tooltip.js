// What lies under the cursor of a chart: as a tooltip, in its legend, and as a sentence for screen readers.
/** @import { Column, CursorEntry, LegendItem, Line, LineStyle, Span, XAxis } from "./types.d.ts" */
import { around, create } from "../shared/dom.js";
import { commonDecimals, formatMetric, formatPosition, formatReading } from "../shared/format.js";
import { cutName } from "../shared/names.js";
import { lowerBound } from "./extents.js";
import { DASHES } from "./paint.js";

const MAX_ROWS = 14; // of a sentence
const MAX_TIP_ROWS = 24; // of a tooltip, where its panel has room for them
const ROW_PX = 20;
const HEAD_PX = 76; // position, counts of further rows and the padding
const RANGES_PX = 520; // from this width on there is room for ranges of many lines
const NEAR = 0.03; // of the width: a line that ended further away has no value under the cursor
const GAP_PX = 14; // between the cursor and the tooltip
const EDGE_PX = 4; // between the tooltip and the edge of its panel
const MAX_WIDTH_PX = 420;

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
  const box = boxOf(tooltip);
  const room = Math.max(3, Math.min(MAX_TIP_ROWS, Math.floor((box.height - HEAD_PX) / ROW_PX)));
  const hasRanges = entries.length < 4 || box.width > RANGES_PX;
  const first = Math.max(0, Math.min(nearest - Math.floor(room / 2), entries.length - room));
  const shown = entries.slice(first, first + room);
  const numBelow = entries.length - first - shown.length;
  const decimals = commonDecimals(entries.map(({ value }) => value), unit);
  const write = (/** @type {number | undefined} */ value) => formatReading(value, unit, decimals);
  const isMarked = (/** @type {number} */ index) => entries.length > 1 && first + index === nearest;
  tooltip.replaceChildren(
    span("tip-x", formatPosition(x, axis)),
    ...(first ? [span("tip-more", `${first} above`)] : []),
    ...shown.map((entry, index) => tooltipRow(entry, write, hasRanges, isMarked(index))),
    ...(numBelow > 0 ? [span("tip-more", `${numBelow} below`)] : []),
  );
  placeTooltip(tooltip, left, width);
}

/**
 * What a tooltip may cover: its panel, in pixels from the upper left corner of the plot.
 * @param {HTMLElement} tooltip
 */
function boxOf(tooltip) {
  const plot = tooltip.parentElement;
  const panel = around(tooltip, ".panel") ?? around(tooltip, ".card-plain") ?? document.documentElement;
  const [inner, outer] = [(plot ?? panel).getBoundingClientRect(), panel.getBoundingClientRect()];
  const left = outer.left - inner.left + EDGE_PX;
  return { left, width: outer.width - 2 * EDGE_PX, height: outer.bottom - inner.top - EDGE_PX };
}

/**
 * Puts a tooltip beside the cursor, on the side with more room, within its panel.
 * @param {HTMLElement} tooltip
 * @param {number} left of the cursor
 * @param {number} width of the plot
 */
export function placeTooltip(tooltip, left, width) {
  const box = boxOf(tooltip);
  tooltip.style.maxWidth = `${Math.min(MAX_WIDTH_PX, box.width)}px`;
  const own = tooltip.offsetWidth;
  const wanted = left > width / 2 ? left - GAP_PX - own : left + GAP_PX;
  tooltip.style.left = `${Math.max(box.left, Math.min(wanted, box.left + box.width - own))}px`;
}

/**
 * @param {CursorEntry} entry
 * @param {(value: number | undefined) => string} write
 * @param {boolean} hasRange
 * @param {boolean} isNearest
 */
function tooltipRow({ line, value, nonFinite, low, high }, write, hasRange, isNearest) {
  const row = span(nonFinite ? "tip-row tip-odd" : "tip-row", "");
  row.toggleAttribute("data-near", isNearest);
  const isRange = hasRange && low !== undefined && !nonFinite;
  const range = isRange ? ` (${write(low)} to ${write(high)})` : "";
  const text = nonFinite ?? `${write(value)}${range}`;
  row.append(dashSwatch(line), cutName(line.short, "tip-name"), span("tip-value", text));
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
  const parts = [dashSwatch(item), cutName(item.label, "legend-name"), span("legend-value", "")];
  const title = item.title ?? item.label;
  const button = create("button", { type: "button", className: "legend-item", title }, ...parts);
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
