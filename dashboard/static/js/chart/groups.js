// Runs that share a parameter or tag as one line: their mean, and how far they lie apart.
/** @import { Column, Group, Line, Series, Spread } from "./types.d.ts" */
const MAX_POSITIONS = 400;

/** @typedef {{ mean: Float64Array, low: Float64Array, high: Float64Array } & Sums} Statistics One value a position. */
/** @typedef {{ count: Float64Array, sum: Float64Array, squares: Float64Array }} Sums */

/**
 * The lines of one chart as one line a group and metric.
 * @param {Line[]} lines
 * @param {(series: Series) => Group} group
 * @param {Spread} spread
 * @returns {Line[]}
 */
export function groupLines(lines, group, spread) {
  const members = Map.groupBy(lines, (line) => `${group(line.series).key}\n${line.series.metric}`);
  return [...members.values()].map((some) => groupLine(some, group(some[0].series), spread));
}

/** @param {Line[]} members @param {Group} group @param {Spread} spread @returns {Line} */
function groupLine(members, group, spread) {
  const x = commonPositions(members);
  const statistics = summarize(members, x);
  const band = spread === "range" ? { low: statistics.low, high: statistics.high } : bandAround(statistics, spread);
  return {
    ...members[0],
    ...group,
    ...band,
    key: `${group.key}/${members[0].series.metric}`,
    owner: group.key,
    label: `${group.label} (${members.length})`,
    short: `${group.label} (${members.length})`,
    x,
    y: statistics.mean,
    unsmoothed: null,
    extremeLow: statistics.low,
    extremeHigh: statistics.high,
    nonFinite: members.flatMap((line) => line.nonFinite),
    attemptStarts: [],
    attempts: [],
    isRaw: false,
    count: members.reduce((sum, line) => sum + line.count, 0),
  };
}

/**
 * Every position of any line, as long as these are few; else evenly spaced ones.
 * @param {Line[]} lines
 */
function commonPositions(lines) {
  const positions = new Set();
  for (const line of lines) for (const x of line.x) positions.add(x);
  if (positions.size <= MAX_POSITIONS) return Float64Array.from(positions).sort();
  let [lo, hi] = [Infinity, -Infinity];
  for (const { x } of lines) {
    lo = Math.min(lo, x[0]);
    hi = Math.max(hi, x[x.length - 1]);
  }
  return Float64Array.from({ length: MAX_POSITIONS }, (_, cell) => lo + ((hi - lo) * cell) / (MAX_POSITIONS - 1));
}

/**
 * Mean over the lines that reach each position, interpolated between their points; extremes of all points near it.
 * @param {Line[]} lines
 * @param {Float64Array} x
 * @returns {Statistics}
 */
function summarize(lines, x) {
  const sums = {
    count: new Float64Array(x.length), sum: new Float64Array(x.length), squares: new Float64Array(x.length),
  };
  const low = new Float64Array(x.length).fill(Infinity);
  const high = new Float64Array(x.length).fill(-Infinity);
  for (const line of lines) {
    addLine(line, x, sums, low, high);
    widenToExtremes(line, x, low, high);
  }
  const mean = sums.sum.map((total, cell) => (sums.count[cell] ? total / sums.count[cell] : NaN));
  for (let cell = 0; cell < x.length; cell += 1) if (low[cell] > high[cell]) low[cell] = high[cell] = NaN;
  return { ...sums, mean, low, high };
}

/**
 * @param {Line} line
 * @param {Float64Array} x
 * @param {Sums} sums
 * @param {Float64Array} low
 * @param {Float64Array} high
 */
function addLine(line, x, sums, low, high) {
  let row = 0;
  for (let cell = 0; cell < x.length; cell += 1) {
    while (row + 1 < line.x.length && line.x[row + 1] <= x[cell]) row += 1;
    const value = interpolate(line, row, x[cell]);
    if (!Number.isFinite(value)) continue;
    sums.sum[cell] += value;
    sums.squares[cell] += value * value;
    sums.count[cell] += 1;
    low[cell] = Math.min(low[cell], value);
    high[cell] = Math.max(high[cell], value);
  }
}

/**
 * The value of a line at a position from `row` on; NaN outside of the line.
 * @param {Line} line
 * @param {number} row
 * @param {number} at
 */
function interpolate({ x, y }, row, at) {
  if (at < x[0] || at > x[x.length - 1]) return NaN;
  if (x[row] === at || row + 1 >= x.length) return y[row];
  const fraction = (at - x[row]) / (x[row + 1] - x[row]);
  return y[row] + (y[row + 1] - y[row]) * fraction;
}

/**
 * Counts every extreme of a line at the position nearest to it, so that none falls between two positions.
 * @param {Line} line
 * @param {Float64Array} x
 * @param {Float64Array} low
 * @param {Float64Array} high
 */
function widenToExtremes(line, x, low, high) {
  /** @type {[Column, Column]} */
  const [lows, highs] = [line.low ?? line.y, line.high ?? line.y];
  let cell = 0;
  for (let row = 0; row < line.x.length; row += 1) {
    while (cell + 1 < x.length && Math.abs(x[cell + 1] - line.x[row]) <= Math.abs(x[cell] - line.x[row])) cell += 1;
    if (lows[row] < low[cell]) low[cell] = lows[row];
    if (highs[row] > high[cell]) high[cell] = highs[row];
  }
}

/**
 * The mean plus and minus the standard deviation of the sample, or the standard error of its mean; 0 for one run.
 * @param {Statistics} statistics
 * @param {Spread} kind sd or se
 */
function bandAround({ mean, squares, count }, kind) {
  const width = mean.map((middle, cell) => {
    if (count[cell] < 2) return 0;
    const variance = (squares[cell] - count[cell] * middle * middle) / (count[cell] - 1);
    const deviation = Math.sqrt(Math.max(0, variance));
    return kind === "se" ? deviation / Math.sqrt(count[cell]) : deviation;
  });
  return {
    low: mean.map((middle, cell) => middle - width[cell]),
    high: mean.map((middle, cell) => middle + width[cell]),
  };
}
