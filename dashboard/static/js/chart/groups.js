// Runs that share a parameter or tag as one line: their mean, and how far they lie apart.
const CELLS = 400;

// Lines of one chart to lines of groups. look.group(line) names the group: {key, label, colour, dash}; look.spread is
// range (least and greatest, with every run's own extremes), sd (standard deviation) or se (standard error).
export function grouped(lines, look) {
  const members = Map.groupBy(lines, (line) => `${look.group(line.series).key}\n${line.series.metric}`);
  return [...members.values()].map((some) => groupLine(some, look));
}

function groupLine(some, look) {
  const named = look.group(some[0].series);
  const x = cellsOf(some);
  const stats = summed(some, x);
  const band = look.spread === "range" ? { low: stats.low, high: stats.high } : around(stats, look.spread);
  return {
    ...some[0], ...named, owner: named.key, key: `${named.key}/${some[0].series.metric}`, label: `${named.label} (${some.length})`, x, y: stats.mean, faint: null, ...band,
    edgeLow: stats.low, edgeHigh: stats.high, odd: some.flatMap((line) => line.odd), borders: [], attempts: [], isRaw: false, count: some.reduce((sum, line) => sum + line.count, 0),
  };
}

// Every place that some line has, as long as these are few; else even cells.
function cellsOf(lines) {
  const places = new Set();
  for (const line of lines) for (const at of line.x) places.add(at);
  if (places.size <= CELLS) return Float64Array.from(places).sort();
  let [lo, hi] = [Infinity, -Infinity];
  for (const { x } of lines) { lo = Math.min(lo, x[0]); hi = Math.max(hi, x.at(-1)); }
  return Float64Array.from({ length: CELLS }, (_, cell) => lo + ((hi - lo) * cell) / (CELLS - 1));
}

// Mean over the lines that reach each place, straight between their points; extremes of all points near the place.
function summed(lines, x) {
  const sum = new Float64Array(x.length);
  const squares = new Float64Array(x.length);
  const count = new Float64Array(x.length);
  const low = new Float64Array(x.length).fill(Infinity);
  const high = new Float64Array(x.length).fill(-Infinity);
  for (const line of lines) {
    let row = 0;
    for (let cell = 0; cell < x.length; cell += 1) {
      while (row + 1 < line.x.length && line.x[row + 1] <= x[cell]) row += 1;
      const value = between(line, row, x[cell]);
      if (!Number.isFinite(value)) continue;
      sum[cell] += value; squares[cell] += value * value; count[cell] += 1;
      low[cell] = Math.min(low[cell], value); high[cell] = Math.max(high[cell], value);
    }
    spread(line, x, low, high);
  }
  const mean = sum.map((total, cell) => (count[cell] ? total / count[cell] : NaN));
  for (let cell = 0; cell < x.length; cell += 1) if (low[cell] > high[cell]) low[cell] = high[cell] = NaN;
  return { mean, low, high, count, squares };
}

function between({ x, y }, row, at) {
  if (at < x[0] || at > x.at(-1)) return NaN;
  if (x[row] === at || row + 1 >= x.length) return y[row];
  const share = (at - x[row]) / (x[row + 1] - x[row]);
  return y[row] + (y[row + 1] - y[row]) * share;
}

// Every extreme of a line counts at the place nearest to it: none falls between two places.
function spread(line, x, low, high) {
  const [least, greatest] = [line.low ?? line.y, line.high ?? line.y];
  let cell = 0;
  for (let row = 0; row < line.x.length; row += 1) {
    while (cell + 1 < x.length && Math.abs(x[cell + 1] - line.x[row]) <= Math.abs(x[cell] - line.x[row])) cell += 1;
    if (least[row] < low[cell]) low[cell] = least[row];
    if (greatest[row] > high[cell]) high[cell] = greatest[row];
  }
}

// Standard deviation of the sample, or the standard error of its mean; of one run there is neither.
function around({ mean, squares, count }, kind) {
  const width = mean.map((middle, cell) => {
    if (count[cell] < 2) return 0;
    const sd = Math.sqrt(Math.max(0, (squares[cell] - count[cell] * middle * middle) / (count[cell] - 1)));
    return kind === "se" ? sd / Math.sqrt(count[cell]) : sd;
  });
  return { low: mean.map((middle, cell) => middle - width[cell]), high: mean.map((middle, cell) => middle + width[cell]) };
}
