// What the address of the trade-offs page holds of what was chosen on it: ranges, goals and scales.
/** @import { Extent, TradeoffData, TradeoffState } from "./types.d.ts" */
import { createScale } from "./scale.js";

const AXES = /** @type {const} */ (["x", "y"]);

/** @param {TradeoffData | TradeoffState} data @param {number} field */
const parallelScale = ({ fields, rows }, field) =>
  createScale(fields[field], rows.map((row) => row.values[field]), { log: "auto" });

/**
 * The ranges of the parallel axes: brush=FIELD~LOW~HIGH.
 * @param {URLSearchParams} query
 * @param {TradeoffData} data
 * @returns {Map<number, Extent>}
 */
export function readBrushes(query, data) {
  const brushes = new Map();
  for (const text of query.getAll("brush")) {
    const [name, low, high] = text.split("~");
    const field = data.fields.findIndex((one) => one.text === name);
    if (field < 0) continue;
    const scale = parallelScale(data, field);
    const range = [scale.find(low), scale.find(high)];
    if (range[0] < range[1]) brushes.set(field, range);
  }
  return brushes;
}

/**
 * Writes what a link must show again. A rectangle is not among it: it has no place in the address.
 * @param {TradeoffState} state
 */
export function writeAddress(state) {
  const url = new URL(location.href);
  const query = url.searchParams;
  query.delete("brush");
  for (const [field, [low, high]] of state.brushes) {
    const scale = parallelScale(state, field);
    query.append("brush", [state.fields[field].text, scale.read(low), scale.read(high)].join("~"));
  }
  for (const axis of AXES) {
    const isUsual = state.best[axis] === state.fields[state[axis]].best;
    setOrDelete(query, `${axis}best`, isUsual ? null : state.best[axis]);
    setOrDelete(query, `${axis}log`, state.log[axis] ? "1" : null);
  }
  history.replaceState(null, "", url);
}

/** @param {URLSearchParams} query @param {string} name @param {string | null} value */
function setOrDelete(query, name, value) {
  if (value === null) query.delete(name);
  else query.set(name, value);
}
