// Reads series from the server as columns of numbers that need no parsing (dashboard/api/packed.py is the other end).
/** @import { Series, SeriesAnswer, SeriesRequest } from "./types.d.ts" */
const MIN_POINTS = 300; // a narrow chart still reaches every point a few zooms earlier
const MAX_POINTS = 1500;
const HEAD_AT = 8; // bytes before the JSON head

/**
 * How many buckets a chart of this width asks for: one a pixel column, as more cannot be seen, and zooming asks again.
 * @param {number} widthPx
 * @returns {number}
 */
export function pointsForWidth(widthPx) {
  return Math.min(MAX_POINTS, Math.max(MIN_POINTS, Math.ceil(widthPx / 100) * 100));
}

/**
 * The series of these runs and metrics. Throws an Error with the server's sentence where it refuses.
 * @param {SeriesRequest} request
 * @returns {Promise<SeriesAnswer>}
 */
export async function fetchSeries({ runs, metrics, source, x, lo, hi, points, signal }) {
  const query = new URLSearchParams({ points: String(points), x, format: "packed" });
  for (const metric of metrics) query.append("metric", metric);
  if (source) query.set("source", source);
  if (lo !== undefined && hi !== undefined) {
    query.set("lo", String(lo));
    query.set("hi", String(hi));
  }
  if (runs.length > 1) for (const run of runs) query.append("run", run);
  const address = runs.length > 1 ? "/api/v1/series" : `/api/v1/runs/${runs[0]}/series`;
  const response = await fetch(`${address}?${query}`, { signal });
  if (!response.ok) throw new Error(await refusal(response));
  return unpack(await response.arrayBuffer());
}

/** @param {Response} response */
async function refusal(response) {
  const answer = await response.json().catch(() => ({}));
  return answer.detail ?? `The server answered ${response.status}.`;
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {SeriesAnswer}
 */
export function unpack(buffer) {
  const size = new DataView(buffer).getUint32(4, true);
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, HEAD_AT, size)));
  let offset = HEAD_AT + size;
  for (const series of answer.series) {
    const { length, width } = series;
    const Values = width === 4 ? Float32Array : Float64Array;
    series.x = new Float64Array(buffer, offset, length);
    offset += 8 * length;
    for (const name of series.is_raw ? ["mean"] : ["mean", "min", "max"]) {
      series[name] = new Values(buffer, offset, length);
      offset += width * length;
    }
    offset += (8 - (offset % 8)) % 8;
    if (series.is_raw) series.min = series.max = series.mean;
  }
  return answer;
}

/**
 * Differs wherever the series differ, as far as their number and their last points tell; equal ones need no redraw.
 * @param {Series[]} list
 * @returns {string}
 */
export const fingerprint = (list) => list.map((one) => [
  one.run, one.metric, one.source, one.count, one.x[0], one.x.at(-1), one.x.length, one.mean.at(-1),
  one.non_finite.length,
].join("/")).join("|");
