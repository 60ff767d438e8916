// From series as the server sends them to lines as they are drawn: smoothed, grouped or stacked.
/** @import { Column, Line, LineOptions, Series } from "./types.d.ts" */
import { groupLines } from "./groups.js";

/**
 * @param {Series[]} list
 * @param {LineOptions} options
 * @returns {Line[]}
 */
export function linesFromSeries(list, options) {
  /** @type {Line[]} */
  const lines = list.map((series, index) => ({
    ...options.style(series, index),
    ...ofSeries(series),
    key: `${series.run}/${series.metric}/${series.source}`,
    label: options.label(series),
    short: options.short(series),
    x: series.x,
    y: series.mean,
    unsmoothed: null,
    low: series.is_raw ? null : series.min,
    high: series.is_raw ? null : series.max,
  }));
  const shown = options.group ? groupLines(lines, options.group, options.spread) : lines;
  if (!options.smoothing) return shown;
  return shown.map((line) => ({ ...line, y: smooth(line.y, options.smoothing), unsmoothed: line.y }));
}

/** @param {Series} series What a line takes over from it as it is. */
function ofSeries(series) {
  return {
    owner: series.run,
    nonFinite: series.non_finite,
    attemptStarts: series.borders,
    attempts: series.border_attempts,
    isRaw: series.is_raw,
    count: series.count,
    series,
  };
}

/**
 * Exponential mean with the start corrected, so that it does not begin at zero; gaps stay gaps.
 * @param {Column} values
 * @param {number} weight
 * @returns {Float64Array}
 */
export function smooth(values, weight) {
  const out = new Float64Array(values.length);
  let mean = 0;
  let share = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) {
      out[i] = NaN;
      continue;
    }
    mean = mean * weight + values[i] * (1 - weight);
    share = share * weight + (1 - weight);
    out[i] = mean / share;
  }
  return out;
}

/**
 * Areas on top of each other, the first metric at the bottom. Positions that not all series have are left out.
 * @param {Series[]} list
 * @param {Pick<LineOptions, "style" | "label" | "short"> & { isShare: boolean }} options isShare: parts of the whole
 * @returns {Line[]}
 */
export function stackLines(list, options) {
  if (!list.length) return [];
  const rows = commonRows(list);
  const x = Float64Array.from(rows, (row) => list[0].x[row[0]]);
  const totals = rows.map((row) => (options.isShare ? total(list, row) || 1 : 1));
  let below = new Float64Array(x.length);
  return list.map((series, index) => {
    const own = Float64Array.from(rows, (row, at) => series.mean[row[index]] / totals[at]);
    const low = below;
    const high = own.map((value, at) => value + low[at]);
    below = high;
    return {
      ...options.style(series, index),
      ...ofSeries(series),
      key: series.metric,
      label: options.label(series),
      short: options.short(series),
      x,
      y: high,
      unsmoothed: null,
      low,
      high,
      ownValues: own,
      isArea: true,
    };
  });
}

/**
 * For each position at which every series has a finite value, the row of that position in each series.
 * @param {Series[]} list
 * @returns {number[][]}
 */
function commonRows(list) {
  const rowsOf = list.slice(1).map((series) => new Map(Array.from(series.x, (at, row) => [at, row])));
  return [...list[0].x.keys()].flatMap((row) => {
    const all = [row, ...rowsOf.map((rows) => rows.get(list[0].x[row]) ?? -1)];
    return all.every((one, index) => one >= 0 && Number.isFinite(list[index].mean[one])) ? [all] : [];
  });
}

/** @param {Series[]} list @param {number[]} row */
const total = (list, row) => list.reduce((sum, series, index) => sum + series.mean[row[index]], 0);

/**
 * The note beside a panel's title: how closely its series were read, and what of them cannot be seen in the lines.
 * @param {Series[]} list
 * @returns {string}
 */
export function samplingNote(list) {
  if (!list.length) return "";
  const buckets = list.filter((series) => !series.is_raw);
  const most = Math.max(0, ...buckets.map((series) => series.count / Math.max(1, series.x.length)));
  const parts = most > 1.5 ? [`averaged by ${Math.round(most).toLocaleString("en")}`] : [];
  const nonFinite = list.reduce((sum, series) => sum + series.non_finite.length, 0);
  const superseded = list.reduce((sum, series) => sum + series.superseded, 0);
  if (nonFinite) parts.push(`${nonFinite} not finite`);
  if (superseded) parts.push(`${superseded.toLocaleString("en")} superseded`);
  return parts.join(" · ");
}
