// The runs that an annotation is for: those that are selected, else the one of the focused row.
import { parseJson } from "../shared/requests.js";
import { selection } from "./selection.js";

/**
 * @typedef {object} Target
 * @property {number} count
 * @property {string[][]} values names and values of the request: ids, or the filter
 * @property {string[]} ids empty where it is every run that matches the filter
 */

/**
 * @param {HTMLElement | null} focusedRow
 * @returns {Target}
 */
export function annotationTarget(focusedRow) {
  const { ids, isAll, count, filter } = selection();
  if (isAll) return { count, values: [["all", "1"], ["filter", filter]], ids: [] };
  const some = ids.length || !focusedRow ? ids : [focusedRow.dataset.run ?? ""];
  return { count: some.length, values: some.map((id) => ["run", id]), ids: some };
}

/**
 * How many of the runs this person may change; of a filter only the server knows it.
 * @param {Target} target
 * @returns {Promise<number>}
 */
export async function countRuns({ count, values, ids }) {
  if (ids.length) return count;
  const response = await fetch(`/runs/count/?${new URLSearchParams(values)}`);
  return response.ok ? parseJson(await response.text()).count : count;
}

/**
 * @param {number} count
 * @returns {string}
 */
export const formatRuns = (count) => `${count.toLocaleString("en")} run${count === 1 ? "" : "s"}`;
