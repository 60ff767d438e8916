// All charts of a page: which are seen, when each is read, and what a change of the view means for them.
import { makePanel } from "./panel.js";
import { read } from "./series.js";
import { makeView } from "./view.js";

const LIVE_GAP_MS = 500; // at the least between two looks for what is new; at the most LIVE_SHARE of the time is spent
const LIVE_SHARE = 0.25;
const GATHER_MS = 50; // what has grown at the same time is read at the same time
const LINES_AT_ONCE = 40; // of one request: a page draws its first chart while the server reads the next
const REQUESTS_AT_ONCE = 3;

export function startCharts(root) {
  const names = JSON.parse(document.getElementById("chart-names").textContent);
  const runs = root.dataset.runs?.split(" ") ?? Object.keys(names.runs);
  giveDashes(names.runs);
  const view = makeView(root, { changed, extent: (kind) => panels.find((panel) => panel.axis() === kind && panel.plot.extent())?.plot.extent() });
  const panels = [...root.querySelectorAll("[data-metrics]")].map((element) => Object.assign(makePanel(element, view, names, (panel) => markStale((one) => one === panel)), { isInView: false }));
  const inView = new Set();
  const underWay = new Set(); // of AbortControllers
  let spentMs = 0;

  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const panel = panels.find((one) => one.element === target);
      isIntersecting ? inView.add(panel) : inView.delete(panel);
      panel.isInView = isIntersecting;
      if (isIntersecting) panel.redraw(); // what has changed meanwhile
    }
    readStale();
  }, { rootMargin: "200px 0px" });
  for (const panel of panels) sight.observe(panel.element);

  // A change of the axis or the span makes what is under way useless; all else is drawn from what is there.
  function changed(fields, kind) {
    if (fields === null || fields.includes("x")) {
      stopAll();
      markStale((panel) => fields !== null || !kind || panel.axis() === kind);
    } else if (fields.includes("open")) arrange();
    else for (const panel of inView) panel.redraw();
    if (fields) root.dispatchEvent(new CustomEvent("view", { detail: { fields } }));
  }

  function stopAll() {
    for (const stop of underWay) stop.abort();
    underWay.clear();
  }

  function markStale(some = () => true) {
    for (const panel of panels) if (some(panel)) panel.need = "all";
    readStale();
  }

  function readStale() {
    while (runs.length && !document.hidden && underWay.size < REQUESTS_AT_ONCE) {
      const batch = nextBatch(panels.filter((panel) => panel.need && (inView.has(panel) || isWaitingUnseen(panel))));
      if (!batch.length) return;
      readBatch(batch);
    }
  }

  // Panels that one request serves: the same axis, source, width and runs. A stack asks for its one rank by itself.
  function nextBatch(stale) {
    const sameAs = (panel) => [panel.isInView, panel.axis(), panel.source(), panel.points(), panel.need === "all" ? "all" : [...panel.need].join()].join(" ");
    const batch = [];
    let lines = 0;
    for (const panel of [...stale.filter((one) => one.isInView), ...stale.filter((one) => !one.isInView)]) {
      if (batch.length && sameAs(panel) !== sameAs(batch[0])) continue;
      // Those that wait unseen have most likely no line at all: one request asks for all of them.
      lines += panel.isInView ? panel.metrics.length * (panel.need === "all" ? runs.length : panel.need.size) : 0;
      if (batch.length && lines > LINES_AT_ONCE) break;
      batch.push(panel);
    }
    return batch;
  }

  async function readBatch(batch) {
    const [first] = batch;
    const kind = first.axis();
    const some = first.need === "all" ? null : [...first.need];
    const wish = { runs: some ?? runs, metrics: [...new Set(batch.flatMap((panel) => panel.metrics))], source: first.source(), x: kind, points: first.points(), ...view.span(kind) };
    for (const panel of batch) panel.need = null;
    const stop = new AbortController();
    underWay.add(stop);
    const began = performance.now();
    try {
      const answer = await read({ ...wish, signal: stop.signal });
      for (const panel of batch) panel.take(answer, kind, some);
    } catch (error) {
      if (error.name !== "AbortError") for (const panel of batch) panel.fail(error);
    }
    spentMs = performance.now() - began;
    underWay.delete(stop);
    readStale();
  }

  // Only the runs that have grown are read again. A zoomed axis shows a span that has passed: nothing new comes into it.
  const grown = new Set();
  let timer = null;
  let lookedAt = 0;
  document.addEventListener("live:run", ({ detail }) => {
    const id = detail.id ?? detail.run;
    if (id && !runs.includes(id)) return;
    for (const run of id ? [id] : runs) grown.add(run);
    const due = lookedAt + Math.max(LIVE_GAP_MS, spentMs / LIVE_SHARE);
    timer ??= setTimeout(readGrown, Math.max(GATHER_MS, due - performance.now()));
  });

  function readGrown() {
    timer = null;
    lookedAt = performance.now();
    for (const panel of panels) {
      if (panel.need === "all" || view.isZoomed(panel.axis())) continue;
      panel.need = new Set([...(panel.need ?? []), ...grown]);
    }
    grown.clear();
    readStale();
  }

  // One panel may fill the window; it is then read as finely as it is wide.
  function arrange() {
    for (const panel of panels) {
      const isOpen = panel.key === view.open;
      if (panel.element.classList.toggle("is-open", isOpen) !== isOpen || isOpen) panel.need = "all";
      panel.element.querySelector("[data-act=open]")?.setAttribute("aria-pressed", String(isOpen));
    }
    document.documentElement.toggleAttribute("data-covered", Boolean(view.open));
    readStale();
  }

  document.addEventListener("theme", () => panels.forEach((panel) => panel.redraw()));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && view.open && !document.querySelector("dialog[open]")) view.set({ open: "" }); });
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => panels.find((panel) => panel.holder === target)?.plot.resize()));
  for (const panel of panels) sizes.observe(panel.holder);
  if (view.open) arrange();
  return { view, panels, names };
}

// A panel that shows itself only once there is a value cannot come into sight before.
const isWaitingUnseen = (panel) => panel.element.offsetParent === null && panel.element.classList.contains("is-optional") && !panel.element.closest("details:not([open]), [hidden]");

// Runs whose colours are the same are told apart by their dashes.
function giveDashes(runs) {
  const seen = new Map();
  for (const run of Object.values(runs)) {
    run.dash = seen.get(run.colour) ?? 0;
    seen.set(run.colour, run.dash + 1);
  }
}
