// All charts of a page: what each shows, when it is fetched, and what is said of each.
import { makeChart } from "./chart.js";
import { saveCsv, savePicture, showTable } from "./chart-take.js";
import { note } from "./plot-data.js";
import { read, version } from "./series.js";
import { makeView } from "./view.js";

const GAP_MS = 500; // between two fetches for what is live

export function startCharts(root) {
  const names = JSON.parse(document.getElementById("chart-names").textContent); // {runs: {id: name}, devices: {id: name}}
  const runs = Object.keys(names.runs);
  const view = makeView(root, {
    span: (kind) => markStale((panel) => !kind || panel.axis() === kind),
    axis: () => markStale(),
    smoothing: () => panels.forEach((panel) => panel.redraw()),
  }, (kind) => panels.find((panel) => panel.axis() === kind && panel.chart.extent())?.chart.extent());
  const panels = [...root.querySelectorAll("[data-metrics]")].map((element) => makePanel(element, view, names, runs, (panel) => markStale((one) => one === panel)));
  const inView = new Set();
  let busy = false;
  let again = false;

  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const panel = panels.find((one) => one.element === target);
      isIntersecting ? inView.add(panel) : inView.delete(panel);
    }
    fetchStale();
  }, { rootMargin: "200px 0px" });
  for (const panel of panels) sight.observe(panel.element);

  // One request for each axis in use, with the metrics of all panels that are seen and out of date. A stack asks for
  // its one rank by itself: all ranks of a node would be most of the answer, and not drawn.
  async function fetchStale() {
    if (!runs.length || document.hidden) return;
    if (busy) { again = true; return; }
    const stale = panels.filter((panel) => panel.isStale && (inView.has(panel) || isHidden(panel)));
    if (!stale.length) return;
    busy = true;
    const groups = Map.groupBy(stale, (panel) => `${panel.axis()} ${panel.source()}`);
    await Promise.all([...groups.values()].map((group) => fetchGroup(group[0].axis(), group[0].source(), group)));
    busy = false;
    if (again) { again = false; setTimeout(fetchStale, GAP_MS); }
  }

  async function fetchGroup(kind, source, wanted) {
    for (const panel of wanted) panel.isStale = false;
    try {
      const metrics = [...new Set(wanted.flatMap((panel) => panel.metrics))];
      const answer = await read({ runs, metrics, source, x: kind, ...view.span(kind), purpose: `${kind}-${source}-${metrics[0]}` });
      for (const panel of wanted) panel.take(answer, kind);
    } catch (error) {
      if (error.name !== "AbortError") for (const panel of wanted) panel.fail(error);
    }
  }

  function markStale(some = () => true) {
    for (const panel of panels) if (some(panel)) panel.isStale = true;
    fetchStale();
  }

  let timer = null;
  document.addEventListener("live:run", ({ detail }) => {
    const id = detail.id ?? detail.run;
    if (timer || (id && !runs.includes(id))) return;
    // A zoomed axis shows a span that has passed: nothing new can come into it.
    timer = setTimeout(() => { timer = null; markStale((panel) => !view.isZoomed(panel.axis())); }, GAP_MS);
  });
  document.addEventListener("theme", () => panels.forEach((panel) => panel.chart.redraw()));
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => panels.find((panel) => panel.holder === target)?.chart.resize()));
  for (const panel of panels) sizes.observe(panel.holder);
}

function makePanel(element, view, names, runs, whenStale) {
  const { metrics, scope, unit, kind, floor, ceiling } = element.dataset;
  const holder = element.querySelector(".chart");
  const panel = { element, holder, metrics: metrics.split(" "), isStale: true, log: false };
  const title = element.querySelector("h3").textContent;
  const noted = element.querySelector("[data-note]");
  const choice = element.querySelector("[data-source-choice]"); // of a stack only
  let answer = null;
  let drawn = "";

  // Devices are read by the clock, not by the step.
  panel.axis = () => (scope === "device" && (view.x === "step" || view.x === "tokens") ? "relative" : view.x);
  panel.source = () => choice?.value ?? "";
  const label = (series) => {
    const parts = [];
    if (runs.length > 1) parts.push(names.runs[series.run]);
    if (panel.metrics.length > 1) parts.push(series.label);
    if (scope === "device") parts.push(names.devices[series.source.replace(/^device:/, "")] ?? series.source.replace(/^device:/, ""));
    else if (scope === "rank" && kind !== "stack") parts.push(series.source.replace(/^rank/, "rank "));
    return parts.join(" · ") || series.label;
  };
  // With several runs a colour is a run and a dash is what is drawn of it; with one, each line has its own colour.
  const style = (series, index) => (runs.length > 1
    ? { colour: runs.indexOf(series.run), dash: Math.floor(runs.indexOf(series.run) / 8) + Math.max(0, [...new Set((answer?.series ?? []).filter((one) => one.run === series.run).map((one) => one.metric + one.source))].indexOf(series.metric + series.source)) }
    : { colour: index, dash: kind === "stack" ? 0 : index });
  const number = (text) => (text === "" || text === undefined ? null : Number(text));
  panel.chart = makeChart(
    { holder, legend: element.querySelector(".legend"), border: runs.length === 1 && ((attempt) => names.attempts?.[attempt] ?? `attempt ${attempt}`), tooltip: element.querySelector(".tip"), spoken: element.querySelector("[data-spoken]"), unit, kind, floor: number(floor), ceiling: number(ceiling), label, style },
    { onZoom: (lo, hi) => view.zoom(panel.axis(), lo, hi), onReset: view.reset },
  );

  panel.take = (whole, x) => {
    tellAbsences(element, whole.missing, panel.metrics, scope);
    answer = { x, series: whole.series.filter((series) => panel.metrics.includes(series.metric)) };
    panel.redraw();
  };
  panel.redraw = () => {
    if (!answer) return;
    const list = kind === "stack" ? ofOneSource(choice, answer.series) : answer.series;
    const look = { x: answer.x, log: panel.log, smoothing: kind === "stack" ? 0 : view.smoothing };
    element.dataset.state = list.length ? "drawn" : stateOfNothing();
    const absences = [...element.querySelectorAll("[data-absence]")].map((item) => item.textContent);
    const now = version(list) + JSON.stringify(look);
    if (now === drawn || !list.length) return;
    drawn = now;
    panel.chart.draw(list, look);
    noted.textContent = note(list) + (answer.x === view.x ? "" : " · by elapsed time") + (absences.length ? " · partly not measured" : "");
    noted.title = [noted.textContent, ...absences].join("\n");
  };
  // A chart that has been drawn keeps its place where a span holds nothing; one that never was is a line in a list.
  const isOver = element.dataset.state === "empty";
  const stateOfNothing = () => {
    if (drawn) element.querySelector(".chart-empty").textContent = "No value in this part";
    else if (element.querySelector("[data-absence]")) return "absent";
    else if (isOver) return "empty";
    return "waiting";
  };
  panel.fail = (error) => {
    panel.isStale = true;
    noted.textContent = `could not be read: ${error.message}`;
  };

  const act = {
    log: (button) => { panel.log = !panel.log; button.setAttribute("aria-pressed", String(panel.log)); panel.redraw(); },
    table: () => showTable(panel.chart.list(), { title, unit, label, x: panel.chart.look()?.x ?? view.x }),
    csv: () => saveCsv(panel.chart.list(), { name: `${runs[0]}-${panel.metrics[0]}`, x: panel.chart.look()?.x ?? view.x }),
    png: () => panel.chart.canvas() && savePicture(panel.chart.canvas(), `${runs[0]}-${panel.metrics[0]}`),
  };
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) act[button.dataset.act](button);
  });
  element.addEventListener("change", (event) => { if (event.target === choice) whenStale(panel); });
  holder.addEventListener("blur", () => { element.querySelector(".tip").hidden = true; });
  holder.addEventListener("keydown", (event) => onKey(event, panel, view));
  return panel;
}

// A panel that shows itself only once there is a value cannot come into sight before.
const isHidden = (panel) => panel.element.offsetParent === null;

const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };

function onKey(event, panel, view) {
  if (event.key in MOVES) panel.chart.move(MOVES[event.key]);
  else if (event.key in ZOOMS) view.zoomBy(panel.axis(), ZOOMS[event.key], panel.chart.cursor());
  else if (event.key === "Escape") view.reset();
  else return;
  event.preventDefault();
}

// Reasons that the run has recorded since the page was made. An empty source says only that no value came yet.
function tellAbsences(element, missing, metrics, scope) {
  const found = new Map();
  for (const said of Object.values(missing)) {
    for (const metric of metrics) {
      for (const [source, [status, reason]] of Object.entries(said[metric] ?? {})) {
        if (source) found.set(`${status}: ${reason}`, (found.get(`${status}: ${reason}`) ?? new Set()).add(source));
      }
    }
  }
  if (!found.size || element.querySelector("[data-absence]")) return;
  element.querySelector("[data-absences]").replaceChildren(...[...found].map(([text, sources]) => {
    const item = document.createElement("li");
    item.dataset.absence = "";
    item.textContent = sources.size > 1 ? `${text} (${sources.size} ${scope}s)` : text;
    return item;
  }));
}

// A stack adds up for one rank only; the choice is written by the server where it knows the ranks already.
function ofOneSource(choice, list) {
  if (!choice.options.length) {
    const sources = [...new Set(list.map((series) => series.source))];
    choice.replaceChildren(...sources.map((source) => new Option(source.replace(/^rank/, "rank "), source)));
    choice.hidden = sources.length < 2;
  }
  return list.filter((series) => series.source === choice.value);
}

for (const root of document.querySelectorAll("[data-charts]")) startCharts(root);
