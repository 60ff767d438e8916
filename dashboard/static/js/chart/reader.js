// Reads the series of panels whose data is out of date, several panels a request.
/** @import { Panel } from "./panel.js" */
/** @import { View } from "./view.js" */
import { fetchSeries } from "./series.js";

const MAX_LINES = 40; // of one request: a page draws its first chart while the server reads the next
const MAX_REQUESTS = 3;

export class SeriesReader {
  /**
   * @param {string[]} runs
   * @param {View} view
   */
  constructor(runs, view) {
    this.runs = runs;
    this.view = view;
    /** @type {Panel[]} */
    this.panels = [];
    /** @type {Set<AbortController>} */
    this.requests = new Set();
    this.lastRequestMs = 0;
  }

  /** Stops the requests under way. */
  abortAll() {
    for (const request of this.requests) request.abort();
    this.requests.clear();
  }

  /**
   * Reads everything of these panels again.
   * @param {(panel: Panel) => boolean} isStale
   */
  markStale(isStale) {
    for (const panel of this.panels) if (isStale(panel)) panel.stale = "all";
    this.readStale();
  }

  /** Starts as many requests as may run side by side. */
  readStale() {
    while (this.runs.length && !document.hidden && this.requests.size < MAX_REQUESTS) {
      const stale = this.panels.filter((panel) => panel.stale && (panel.isInView || isHiddenUntilRead(panel)));
      const batch = this.nextBatch(stale);
      if (!batch.length) return;
      this.read(batch);
    }
  }

  /**
   * Panels that one request serves, those in view first: the same axis, source, width and runs. The source differs for
   * stacks, each of which asks for one rank.
   * @param {Panel[]} stale
   */
  nextBatch(stale) {
    /** @type {Panel[]} */
    const batch = [];
    let numLines = 0;
    for (const panel of [...stale.filter((one) => one.isInView), ...stale.filter((one) => !one.isInView)]) {
      if (batch.length && requestKey(panel) !== requestKey(batch[0])) continue;
      numLines += this.expectedLines(panel);
      if (batch.length && numLines > MAX_LINES) break;
      batch.push(panel);
    }
    return batch;
  }

  /**
   * Panels out of view are those that wait for a first value: most likely they have no line at all.
   * @param {Panel} panel
   */
  expectedLines(panel) {
    if (!panel.isInView || !panel.stale) return 0;
    return panel.metrics.length * (panel.stale === "all" ? this.runs.length : panel.stale.size);
  }

  /** @param {Panel[]} batch */
  async read(batch) {
    const [first] = batch;
    const axis = first.axis();
    const runs = first.stale === "all" || !first.stale ? null : [...first.stale];
    const request = new AbortController();
    const wanted = {
      runs: runs ?? this.runs,
      metrics: [...new Set(batch.flatMap((panel) => panel.metrics))],
      source: first.source(),
      x: axis,
      points: first.points(),
      ...this.view.span(axis),
      signal: request.signal,
    };
    for (const panel of batch) panel.stale = null;
    this.requests.add(request);
    const startedAt = performance.now();
    try {
      const answer = await fetchSeries(wanted);
      for (const panel of batch) panel.receive(answer, axis, runs);
    } catch (error) {
      const problem = error instanceof Error ? error : new Error(String(error));
      if (problem.name !== "AbortError") for (const panel of batch) panel.showProblem(problem);
    }
    this.lastRequestMs = performance.now() - startedAt;
    this.requests.delete(request);
    this.readStale();
  }
}

/** @param {Panel} panel What two panels share that one request can serve. */
function requestKey(panel) {
  const runs = panel.stale === "all" ? "all" : [...(panel.stale ?? [])].join();
  return [panel.isInView, panel.axis(), panel.source(), panel.points(), runs].join(" ");
}

/**
 * Whether a panel shows itself only once it has a value, so that it cannot come into view before it is read.
 * @param {Panel} panel
 */
function isHiddenUntilRead({ element }) {
  if (element.offsetParent !== null || !element.classList.contains("is-optional")) return false;
  return !element.closest("details:not([open]), [hidden]");
}
