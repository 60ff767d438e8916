// The table of the runs that are kept, best first.
/** @import { RunRow, Scale, TradeoffState, Value } from "./types.d.ts" */
import { create, required } from "../shared/dom.js";
import { createScale } from "./scale.js";

const MAX_ROWS = 200;

/**
 * The scale of a field, over the values of all runs.
 * @param {TradeoffState} state
 * @param {number} field
 * @param {{ log?: boolean | "auto" }} [options]
 * @returns {Scale}
 */
export function scaleOf({ fields, rows }, field, options) {
  return createScale(fields[field], rows.map((row) => row.values[field]), options);
}

/**
 * Fields of the table and the tooltip: both goals, then the parallel axes.
 * @param {TradeoffState} state
 * @returns {number[]}
 */
export const shownFields = ({ x, y, axes }) => [...new Set([y, x, ...axes])];

/**
 * An element with a value; its title holds all digits.
 * @param {"td" | "span"} tag
 * @param {Value} value
 * @param {Scale} scale
 * @param {string} className
 * @returns {HTMLElement}
 */
export function valueElement(tag, value, scale, className) {
  const isNumber = typeof value === "number";
  const textContent = value === null ? "–" : isNumber ? scale.format(value) : value;
  return create(tag, { className, textContent, title: isNumber ? scale.formatExact(value) : "" });
}

/**
 * A small square in a run's colour.
 * @param {string} colour or the name of a CSS variable
 * @returns {HTMLElement}
 */
export function swatch(colour) {
  const mark = create("i", { className: "swatch" });
  mark.style.setProperty("--stroke", colour.startsWith("--") ? `var(${colour})` : colour);
  return mark;
}

/**
 * @param {TradeoffState} state
 * @param {Set<string>} front ids of the runs on the Pareto front
 * @param {(id: string | null) => void} onHover
 */
export function renderTable(state, front, onHover) {
  const columns = shownFields(state).map((field) => ({ field, scale: scaleOf(state, field) }));
  const rows = keptBestFirst(state);
  const titles = columns.map(({ field }) => create("th", { className: "right" }, state.fields[field].label));
  const body = rows.slice(0, MAX_ROWS).map((row) => {
    const cells = columns.map(({ field, scale }) => valueElement("td", row.values[field], scale, "right"));
    const line = create("tr", {}, nameCell(row, state, front.has(row.id)), ...cells);
    line.addEventListener("pointerenter", () => onHover(row.id));
    line.addEventListener("focusin", () => onHover(row.id));
    line.addEventListener("pointerleave", () => onHover(null));
    return line;
  });
  required(document, "[data-table]").replaceChildren(
    create("thead", {}, create("tr", {}, create("th", {}, "Run"), ...titles)),
    create("tbody", {}, ...body, ...moreRow(rows.length, columns.length + 1)),
  );
}

/** @param {TradeoffState} state */
function keptBestFirst({ rows, kept, y, best }) {
  const sign = best.y === "low" ? 1 : -1;
  const costOf = (/** @type {RunRow} */ row) => {
    const value = row.values[y];
    return typeof value === "number" ? sign * value : Infinity;
  };
  return rows.filter((row) => kept.has(row.id)).sort((a, b) => costOf(a) - costOf(b));
}

/** @param {RunRow} row @param {TradeoffState} state @param {boolean} isOnFront */
function nameCell(row, state, isOnFront) {
  const link = create("a", { className: "title", href: row.url }, row.name);
  const badge = isOnFront ? [" ", create("span", { className: "badge-state is-busy" }, "Pareto-optimal")] : [];
  return create("td", {}, swatch(state.stroke(row)), " ", link, ...badge);
}

/** @param {number} count of all runs @param {number} colSpan */
function moreRow(count, colSpan) {
  if (count <= MAX_ROWS) return [];
  const text = `${MAX_ROWS} of ${count.toLocaleString("en")}: drag along an axis to keep fewer`;
  return [create("tr", {}, create("td", { className: "quiet", colSpan }, text))];
}
