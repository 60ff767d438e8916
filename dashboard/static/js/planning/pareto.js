// The Pareto front of two goals: the runs that no other run beats in both.
/** @import { Axis, RunRow, TradeoffState } from "./types.d.ts" */

/**
 * Ids of the runs on the front, of those that are kept. A run is beaten by one that is at least as good in both goals
 * and better in one.
 * @param {RunRow[]} rows
 * @param {TradeoffState} state
 * @returns {Set<string>}
 */
export function paretoFront(rows, state) {
  const costOf = (/** @type {RunRow} */ row, /** @type {Axis} */ axis) => {
    const value = row.values[state[axis]];
    if (typeof value !== "number") return null;
    return state.best[axis] === "low" ? value : -value;
  };
  const costs = rows.filter((row) => state.kept.has(row.id)).flatMap((row) => {
    const [x, y] = [costOf(row, "x"), costOf(row, "y")];
    return x === null || y === null ? [] : [{ id: row.id, x, y }];
  });
  costs.sort((a, b) => a.x - b.x || a.y - b.y);
  const front = new Set();
  let best = { x: NaN, y: Infinity }; // the last one on the front
  for (const { id, x, y } of costs) {
    if (y < best.y || (y === best.y && x === best.x)) {
      front.add(id);
      best = { x, y };
    }
  }
  return front;
}
