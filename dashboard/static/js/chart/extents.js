// How far the axes of a chart reach, and which points lie outside.
/** @import { Column, Extent, Line, Outside, Rows, Span } from "./types.d.ts" */
const OUTLIER_FACTOR = 10; // outliers are left out where all points reach this much further than the inliers
const TRIMMED = 0.01; // share of the points on each side that are no inliers
const SAMPLE_SIZE = 4000;
const MIN_SAMPLE = 20;
const MARGIN = 0.25; // beyond the inliers, in parts of their extent

/**
 * Index of the first number that is not less than `at`, in ascending numbers.
 * @param {Column} xs
 * @param {number} at
 * @returns {number}
 */
export function lowerBound(xs, at) {
  let [lo, hi] = [0, xs.length];
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (xs[middle] < at) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}

/**
 * Rows of a line in sight, with one more on each side, so that it leaves the picture where it should.
 * @param {Line} line
 * @param {number} lo
 * @param {number} hi
 * @returns {Rows}
 */
export function visibleRows({ x }, lo, hi) {
  return [Math.max(0, lowerBound(x, lo) - 1), Math.min(x.length - 1, lowerBound(x, hi))];
}

/**
 * @param {Line[]} lines
 * @param {boolean} isLog
 * @returns {Extent | null} Null without any point.
 */
export function xExtent(lines, isLog) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const { x } of lines) {
    const first = isLog ? x[lowerBound(x, Number.MIN_VALUE)] : x[0];
    if (first < lo) lo = first;
    if (x[x.length - 1] > hi) hi = x[x.length - 1];
  }
  if (!(lo <= hi)) return null;
  if (lo < hi) return [lo, hi];
  return isLog ? [lo / 2, hi * 2] : [lo - 0.5, hi + 0.5];
}

/**
 * What a line reaches at each position, whether it is drawn as a band or not.
 * @param {Line} line
 * @returns {[lows: Column, highs: Column]}
 */
function bandOf(line) {
  const middle = line.unsmoothed ?? line.y;
  return [line.extremeLow ?? line.low ?? middle, line.extremeHigh ?? line.high ?? middle];
}

/**
 * Least and greatest value in sight, the extremes of every bucket included.
 * @param {Line[]} lines
 * @param {Extent} x
 * @param {boolean} isLog
 * @returns {Span | null} Null where nothing is in sight.
 */
export function yExtent(lines, [from, to], isLog) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const line of lines) {
    const [lows, highs] = bandOf(line);
    const [first, last] = rowsBetween(line, from, to);
    for (let row = first; row <= last; row += 1) {
      // On a logarithmic axis the high edge stands in where the low one is not positive.
      const low = !isLog || lows[row] > 0 ? lows[row] : highs[row];
      const high = highs[row];
      if (low < lo && (!isLog || low > 0)) lo = low;
      if (high > hi && (!isLog || high > 0)) hi = high;
    }
  }
  return lo <= hi ? { lo, hi } : null;
}

/**
 * Where all but a few points lie, if those few would press the others flat; else null.
 * @param {Line[]} lines
 * @param {Extent} x
 * @param {Span} whole
 * @param {boolean} isLog
 * @returns {Span | null}
 */
export function inlierExtent(lines, x, whole, isLog) {
  const toAxis = isLog ? Math.log10 : identity;
  const fromAxis = isLog ? (/** @type {number} */ value) => 10 ** value : identity;
  const sorted = Float64Array.from(sampleOf(lines, x, toAxis)).sort();
  if (sorted.length < MIN_SAMPLE) return null;
  const trimmed = Math.max(1, Math.floor(sorted.length * TRIMMED));
  const [lo, hi] = [toAxis(sorted[trimmed]), toAxis(sorted[sorted.length - 1 - trimmed])];
  const inner = hi - lo || Math.abs(hi) * 1e-3;
  if (!(inner > 0) || toAxis(whole.hi) - toAxis(whole.lo) < OUTLIER_FACTOR * inner) return null;
  const margin = MARGIN * inner;
  return { lo: Math.max(whole.lo, fromAxis(lo - margin)), hi: Math.min(whole.hi, fromAxis(hi + margin)) };
}

/** @param {number} value */
const identity = (value) => value;

/**
 * Values in sight that the axis can show; of many points every n-th.
 * @param {Line[]} lines
 * @param {Extent} x
 * @param {(value: number) => number} toAxis
 */
function sampleOf(lines, [from, to], toAxis) {
  const total = lines.reduce((sum, line) => sum + line.x.length, 0);
  const stride = Math.max(1, Math.floor(total / SAMPLE_SIZE));
  const sample = [];
  for (const line of lines) {
    const [first, last] = rowsBetween(line, from, to);
    for (const edge of new Set(bandOf(line))) {
      for (let row = first; row <= last; row += stride) {
        if (Number.isFinite(toAxis(edge[row]))) sample.push(edge[row]);
      }
    }
  }
  return sample;
}

/**
 * Points above and below what is shown.
 * @param {Line[]} lines
 * @param {Extent} x
 * @param {Extent} y
 * @param {boolean} isLog
 * @returns {Outside}
 */
export function pointsOutside(lines, [from, to], [lo, hi], isLog) {
  /** @type {Outside} */
  const outside = { above: [], below: [] };
  for (const line of lines) {
    const [lows, highs] = bandOf(line);
    const [first, last] = rowsBetween(line, from, to);
    for (let row = first; row <= last; row += 1) {
      if (highs[row] > hi) outside.above.push([line.x[row], line]);
      if (lows[row] < lo && !(isLog && lows[row] <= 0)) outside.below.push([line.x[row], line]);
    }
  }
  return outside;
}

/**
 * First and last row from `from` to `to`, both inclusive.
 * @param {Line} line
 * @param {number} from
 * @param {number} to
 * @returns {Rows}
 */
function rowsBetween({ x }, from, to) {
  const end = lowerBound(x, to);
  return [lowerBound(x, from), x[end] === to ? end : end - 1];
}
