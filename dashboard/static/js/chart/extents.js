// How far the axes of a chart reach, and which points lie outside.
const OUTLIER_FACTOR = 10; // all points reach so much further than all but the last hundredth on each side
const TRIMMED = 0.01;
const SAMPLE = 4000;

export function firstFrom(xs, at) {
  let [lo, hi] = [0, xs.length];
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (xs[middle] < at) lo = middle + 1; else hi = middle;
  }
  return lo;
}

// Rows of a line that are in sight, with one more on each side, so that it leaves the picture where it should.
export function rowsWithin({ x }, lo, hi) {
  return [Math.max(0, firstFrom(x, lo) - 1), Math.min(x.length - 1, firstFrom(x, hi))];
}

export function xExtent(lines, isLog) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const { x } of lines) {
    const first = isLog ? x[firstFrom(x, Number.MIN_VALUE)] : x[0];
    if (first < lo) lo = first;
    if (x.at(-1) > hi) hi = x.at(-1);
  }
  if (!(lo <= hi)) return null;
  return lo < hi ? [lo, hi] : isLog ? [lo / 2, hi * 2] : [lo - 0.5, hi + 0.5];
}

// What a line reaches at each place, whether it is drawn as a band or not.
const edgesOf = (line) => [line.edgeLow ?? line.low ?? line.faint ?? line.y, line.edgeHigh ?? line.high ?? line.faint ?? line.y];

// Least and greatest of everything in sight, the extremes of every bucket too: {lo, hi}, or null where nothing is.
export function yExtent(lines, [from, to], isLog) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const line of lines) {
    const [lows, highs] = edgesOf(line);
    const [first, last] = within(line, from, to);
    for (let row = first; row <= last; row += 1) {
      const [low, high] = [lows[row], highs[row]];
      if (isLog) {
        if (low > 0 ? low < lo : high > 0 && high < lo) lo = low > 0 ? low : high;
      } else if (low < lo) lo = low;
      if (high > hi && (!isLog || high > 0)) hi = high;
    }
  }
  return lo <= hi ? { lo, hi } : null;
}

// Where all but a few points lie, if those few would press the others flat; else null.
export function withoutOutliers(lines, [from, to], whole, isLog) {
  const size = (value) => (isLog ? Math.log10(value) : value);
  const total = lines.reduce((sum, line) => sum + line.x.length, 0);
  const stride = Math.max(1, Math.floor(total / SAMPLE));
  const sample = [];
  for (const line of lines) {
    const [first, last] = within(line, from, to);
    for (const edge of new Set(edgesOf(line))) for (let row = first; row <= last; row += stride) if (Number.isFinite(size(edge[row]))) sample.push(edge[row]);
  }
  if (sample.length < 20) return null;
  const sorted = Float64Array.from(sample).sort();
  const cut = Math.max(1, Math.floor(sorted.length * TRIMMED));
  const [lo, hi] = [sorted[cut], sorted[sorted.length - 1 - cut]];
  const inner = size(hi) - size(lo) || Math.abs(size(hi)) * 1e-3;
  if (!(inner > 0) || size(whole.hi) - size(whole.lo) < OUTLIER_FACTOR * inner) return null;
  const room = 0.25 * inner;
  const back = (value) => (isLog ? 10 ** value : value);
  return { lo: Math.max(whole.lo, back(size(lo) - room)), hi: Math.min(whole.hi, back(size(hi) + room)) };
}

// Places of points above and below what is shown: {above: [[x, line]], below}.
export function outsideOf(lines, [from, to], [lo, hi], isLog) {
  const found = { above: [], below: [] };
  for (const line of lines) {
    const [lows, highs] = edgesOf(line);
    const [first, last] = within(line, from, to);
    for (let row = first; row <= last; row += 1) {
      if (highs[row] > hi) found.above.push([line.x[row], line]);
      if (lows[row] < lo && !(isLog && lows[row] <= 0)) found.below.push([line.x[row], line]);
    }
  }
  return found;
}

// First and last row from `from` to `to`, both inclusive.
function within({ x }, from, to) {
  const end = firstFrom(x, to);
  return [firstFrom(x, from), x[end] === to ? end : end - 1];
}
