// Reads series from the server, as columns of numbers that need no parsing (dashboard/api/packed.py says how they lie).
const POINTS_LEAST = 300; // a narrow chart still reaches every point a few zooms earlier
const POINTS_MOST = 1500;

// One bucket a pixel column: more could not be seen, and zooming asks again.
export const pointsFor = (widthPx) => Math.min(POINTS_MOST, Math.max(POINTS_LEAST, Math.ceil(widthPx / 100) * 100));

// Lines of these runs and metrics: {run, metric, source, unit, label, is_raw, count, non_finite, borders, border_attempts,
// superseded} with the columns x, mean, min and max (NaN where a bucket holds no finite value).
export async function read({ runs, metrics, source, x, lo, hi, points, signal }) {
  const query = new URLSearchParams({ points, x, format: "packed" });
  for (const metric of metrics) query.append("metric", metric);
  if (source) query.set("source", source);
  if (lo !== undefined) { query.set("lo", lo); query.set("hi", hi); }
  if (runs.length > 1) for (const run of runs) query.append("run", run);
  const address = runs.length > 1 ? "/api/v1/series" : `/api/v1/runs/${runs[0]}/series`;
  const answer = await fetch(`${address}?${query}`, { signal });
  if (!answer.ok) throw new Error(await reason(answer));
  return unpack(await answer.arrayBuffer());
}

async function reason(answer) {
  const said = await answer.json().catch(() => ({}));
  return said.detail ?? `The server answered ${answer.status}.`;
}

export function unpack(buffer) {
  const size = new DataView(buffer).getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  let offset = 8 + size;
  for (const line of head.series) {
    const { length, width } = line;
    const Values = width === 4 ? Float32Array : Float64Array;
    line.x = new Float64Array(buffer, offset, length);
    offset += 8 * length;
    const names = line.is_raw ? ["mean"] : ["mean", "min", "max"];
    for (const name of names) {
      line[name] = new Values(buffer, offset, length);
      offset += width * length;
    }
    offset += (8 - (offset % 8)) % 8;
    if (line.is_raw) line.min = line.max = line.mean;
  }
  return head;
}

// What changed is told by the number and place of the last points; equal answers need no new drawing.
export const version = (list) => list.map((one) => `${one.run}/${one.metric}/${one.source}/${one.count}/${one.x[0]}/${one.x.at(-1)}/${one.x.length}/${one.mean.at(-1)}/${one.non_finite.length}`).join("|");
