// From series as the server sends them to lines as they are drawn: smoothed, grouped or stacked, each with its looks.
import { grouped } from "./groups.js";

// A line: {key, owner, label, colour, dash, x, y, faint, low, high, odd, borders, attempts, isRaw, count, series};
// y is drawn, faint lies behind it, low and high are the edges of its band (null: none). `look` comes from the page:
// {smoothing, group(series) or null, spread, style(series, index), label(series)}.
export function linesOf(list, look) {
  const lines = list.map((series, index) => ({
    ...look.style(series, index), key: `${series.run}/${series.metric}/${series.source}`, owner: series.run, label: look.label(series),
    x: series.x, y: series.mean, faint: null, low: series.is_raw ? null : series.min, high: series.is_raw ? null : series.max,
    odd: series.non_finite, borders: series.borders, attempts: series.border_attempts, isRaw: series.is_raw, count: series.count, series,
  }));
  const shown = look.group ? grouped(lines, look) : lines;
  return look.smoothing ? shown.map((line) => ({ ...line, y: smoothed(line.y, look.smoothing), faint: line.y })) : shown;
}

// Exponential mean with the start corrected, so that it does not begin at zero; gaps stay gaps.
export function smoothed(values, weight) {
  const out = new Float64Array(values.length);
  let mean = 0;
  let share = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) { out[i] = NaN; continue; }
    mean = mean * weight + values[i] * (1 - weight);
    share = share * weight + (1 - weight);
    out[i] = mean / share;
  }
  return out;
}

// Areas on top of each other, the first metric at the bottom. Points that not all parts have are left out. With
// `isShare` each part is its share of the whole at that point.
export function stackOf(list, look) {
  if (!list.length) return [];
  const places = list.slice(1).map((series) => new Map(Array.from(series.x, (at, row) => [at, row])));
  const rows = [...list[0].x.keys()].map((row) => [row, ...places.map((place) => place.get(list[0].x[row]))])
    .filter((all) => all.every((row, part) => row !== undefined && Number.isFinite(list[part].mean[row])));
  const x = Float64Array.from(rows, (all) => list[0].x[all[0]]);
  const wholes = rows.map((all) => (look.isShare ? list.reduce((sum, series, part) => sum + series.mean[all[part]], 0) || 1 : 1));
  let below = new Float64Array(x.length);
  return list.map((series, index) => {
    const part = Float64Array.from(rows, (all, row) => series.mean[all[index]] / wholes[row]);
    const low = below;
    const high = part.map((value, row) => value + low[row]);
    below = high;
    return {
      ...look.style(series, index), key: series.metric, owner: series.run, label: look.label(series), x, y: high, faint: null, low, high, part,
      odd: series.non_finite, borders: series.borders, attempts: series.border_attempts, isRaw: series.is_raw, count: series.count, series, isArea: true,
    };
  });
}

// What is said beside the title: how closely the lines were read, and what of them is odd.
export function note(list) {
  if (!list.length) return "";
  const parts = [];
  const most = Math.max(0, ...list.filter((series) => !series.is_raw).map((series) => series.count / Math.max(1, series.x.length)));
  parts.push(most ? `${Math.max(1, Math.round(most)).toLocaleString("en")} points a bucket` : "every point");
  const odd = list.reduce((sum, series) => sum + series.non_finite.length, 0);
  const old = list.reduce((sum, series) => sum + series.superseded, 0);
  if (odd) parts.push(`${odd} not finite`);
  if (old) parts.push(`${old.toLocaleString("en")} superseded`);
  return parts.join(" · ");
}
