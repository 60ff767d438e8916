// Turns series as the server sends them into uPlot's aligned columns, with a description of each column.
import { smoothed } from "./series.js";

// Returns {data, columns, bands}; columns[i] describes data[i + 1]: {series, role: line|faint|low|high|area, values}.
export function aligned(list, { kind, log, smoothing = 0 }) {
  return kind === "stack" ? stacked(list) : lines(list, log, smoothing);
}

const positive = (values) => values.map((value) => (value > 0 ? value : null));

function lines(list, log, smoothing) {
  const clean = log ? positive : (values) => values;
  const tables = [];
  const columns = [];
  const bands = [];
  list.forEach((series, index) => {
    const table = [series.x];
    const add = (role, values) => {
      columns.push({ series, index, role });
      table.push(clean(values));
    };
    if (smoothing) add("faint", series.mean);
    add("line", smoothing ? smoothed(series.mean, smoothing) : series.mean);
    if (!series.is_raw) {
      add("low", series.min);
      add("high", series.max);
      bands.push([columns.length, columns.length - 1, index]);
    }
    tables.push(table);
  });
  return { data: tables.length ? uPlot.join(tables) : [[]], columns, bands };
}

// Areas on top of each other, the first metric at the bottom. Points that not all parts have are left out.
function stacked(list) {
  const joined = list.length ? uPlot.join(list.map((series) => [series.x, series.mean])) : [[]];
  const keep = joined[0].map((_, row) => joined.slice(1).every((column) => Number.isFinite(column[row])));
  const [x, ...parts] = joined.map((column) => column.filter((_, row) => keep[row]));
  const sums = [];
  parts.forEach((part, index) => sums.push(part.map((value, row) => value + (index ? sums[index - 1][row] : 0))));
  const order = list.map((_, index) => list.length - 1 - index); // the tallest is drawn first
  return {
    data: [x, ...order.map((index) => sums[index])],
    columns: order.map((index) => ({ series: list[index], index, role: "area", values: parts[index] })),
    bands: order.slice(0, -1).map((index, place) => [place + 1, place + 2, index]),
  };
}

export function note(list) {
  const bucketed = list.filter((series) => !series.is_raw);
  const parts = [];
  if (list.length) {
    const most = Math.max(0, ...bucketed.map((series) => series.count / Math.max(1, series.x.length)));
    parts.push(bucketed.length ? `${Math.round(most).toLocaleString("en")} points a bucket` : "every point");
  }
  const odd = list.reduce((sum, series) => sum + series.non_finite.length, 0);
  const old = list.reduce((sum, series) => sum + series.superseded, 0);
  if (odd) parts.push(`${odd} not finite`);
  if (old) parts.push(`${old.toLocaleString("en")} superseded`);
  return parts.join(" · ");
}
