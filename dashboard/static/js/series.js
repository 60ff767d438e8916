// Reads series from the server: one request for all charts that want the same span of the same axis.
const POINTS = 1000;
const POINTS_OF_MANY = 500; // more than MANY runs on one chart: twice as many lines are seen half as closely
const MANY = 8;
const LATEST = new Map(); // purpose -> AbortController: a newer request makes an older one useless

export async function read({ runs, metrics, source, x, lo, hi, purpose }) {
  LATEST.get(purpose)?.abort();
  const stop = new AbortController();
  LATEST.set(purpose, stop);
  const query = new URLSearchParams({ points: runs.length > MANY ? POINTS_OF_MANY : POINTS, x });
  for (const metric of metrics) query.append("metric", metric);
  if (source) query.set("source", source);
  if (lo !== undefined) { query.set("lo", lo); query.set("hi", hi); }
  const one = runs.length === 1;
  if (!one) for (const run of runs) query.append("run", run);
  const url = one ? `/api/v1/runs/${runs[0]}/series?${query}` : `/api/v1/series?${query}`;
  const answer = await fetch(url, { headers: { Accept: "application/json" }, signal: stop.signal });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return answer.json();
}

// What changed is told by the number and place of the last points; equal answers need no new drawing.
export function version(series) {
  return series.map((one) => `${one.run}/${one.metric}/${one.source}/${one.count}/${one.x.at(-1)}/${one.x[0]}/${one.is_raw}/${one.non_finite.length}`).join("|");
}

// Exponential mean with the start corrected, so that it does not begin at zero; gaps stay gaps.
export function smoothed(values, weight) {
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = mean * weight + value * (1 - weight);
    share = share * weight + (1 - weight);
    return mean / share;
  });
}
