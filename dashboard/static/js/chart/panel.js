// One panel: a chart with its head, legend, tooltip, and what is said of it.
import { ofSeries, resolved } from "./colours.js";
import { linesOf, note, stackOf } from "./lines.js";
import { makePlot } from "./plot.js";
import { placeOf, spokenOf, valuesAt, writeLegend, writeTip } from "./tooltip.js";
import { pointsFor, version } from "./series.js";
import { csvOf, jsonOf, savePicture, saveText, showTable, svgOf } from "./export.js";
import { metric } from "../shared/format.js";

const LEGEND_MOST = 12;
const PLOT_MARGIN = 82;

// names: {runs: {id: {name, colour}}, devices: {id: name}, attempts, facets: {key: {run: value}}}
export function makePanel(element, view, names, whenStale) {
  const { scope, unit, kind, floor, ceiling } = element.dataset;
  const runs = Object.keys(names.runs);
  const holder = element.querySelector(".chart");
  const [tip, legend, spoken, noted, outside] = [".tip", ".legend", "[data-spoken]", "[data-note]", "[data-outside]"].map((name) => element.querySelector(name));
  const metrics = element.dataset.metrics.split(" ").map(decodeURIComponent); // a space in a name stands as %20
  const panel = { element, holder, metrics, key: metrics[0], need: "all" };
  const title = element.querySelector("h3").textContent;
  const choice = element.querySelector("[data-source-choice]"); // of a stack only
  const number = (text) => (text === "" || text === undefined ? null : Number(text));
  const hidden = new Set(); // of this chart's own legend
  let isShare = false; // of a stack: parts of the whole instead of their amounts
  const unitNow = () => (isShare ? "share" : unit);
  let answer = null;
  let drawn = "";
  let list = []; // the lines, hidden ones too

  // Devices are read by the clock, not by the step.
  panel.axis = () => (scope === "device" && (view.x === "step" || view.x === "tokens") ? "relative" : view.x);
  panel.source = () => choice?.value ?? "";
  panel.points = () => pointsFor((element.classList.contains("is-open") ? innerWidth : holder.clientWidth) - PLOT_MARGIN);

  panel.plot = makePlot(
    { holder, tooltip: tip, unit, floor: number(floor), ceiling: number(ceiling), border: runs.length === 1 && ((attempt) => names.attempts?.[attempt] ?? `attempt ${attempt}`) },
    { onZoom: (lo, hi) => view.zoom(panel.axis(), lo, hi), onReset: view.reset, onCursor, onOutside },
  );

  const label = (series) => {
    const parts = [];
    if (runs.length > 1) parts.push(names.runs[series.run].name);
    if (metrics.length > 1) parts.push(series.label);
    if (scope === "device") parts.push(names.devices[series.source.replace(/^device:/, "")] ?? series.source.replace(/^device:/, ""));
    else if (scope === "rank" && kind !== "stack") parts.push(series.source.replace(/^rank/, "rank "));
    return parts.join(" · ") || series.label;
  };

  // With several runs a colour is a run, and a dash is what is drawn of it or tells runs of one colour apart; with one
  // run each line has its own colour.
  function style(series, index) {
    if (runs.length === 1) return { colour: ofSeries(index), dash: kind === "stack" ? 0 : index };
    const own = (answer?.series ?? []).filter((one) => one.run === series.run).findIndex((one) => one.metric === series.metric && one.source === series.source);
    return { colour: resolved(names.runs[series.run].colour), dash: names.runs[series.run].dash + Math.max(0, own) };
  }

  function groupOf() {
    const values = names.facets?.[view.group];
    if (!values) return null;
    const order = [...new Set(runs.map((run) => values[run] ?? "not set"))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    return ({ run, metric: name }) => {
      const value = values[run] ?? "not set";
      return { key: `${view.group}=${value}`, label: metrics.length > 1 ? `${value} · ${name}` : value, colour: ofSeries(order.indexOf(value)), dash: Math.floor(order.indexOf(value) / 8) + metrics.indexOf(name) };
    };
  }

  // The whole answer, or new lines of some runs only.
  panel.take = (whole, x, some) => {
    tellAbsences(element, whole.missing, metrics, scope);
    const fresh = whole.series.filter((series) => metrics.includes(series.metric));
    const rest = some && answer ? answer.series.filter((series) => !some.includes(series.run)) : [];
    const place = new Map(runs.map((run, index) => [run, index]));
    answer = { x, series: [...rest, ...fresh].sort((a, b) => place.get(a.run) - place.get(b.run) || metrics.indexOf(a.metric) - metrics.indexOf(b.metric)) };
    panel.redraw();
  };

  const isLogY = () => view.logy !== view.flip.includes(panel.key);

  function lookNow() {
    return {
      x: answer.x, span: view.span(answer.x), logX: view.logx && answer.x !== "time", logY: isLogY() && kind !== "stack", range: view.range,
      cut: view.cut && kind !== "stack" && !view.all.includes(panel.key), smoothing: kind === "stack" ? 0 : view.smooth, emphasis: null, hidden: [...hidden], ...(isShare ? { unit: "share", ceiling: 1 } : {}),
    };
  }

  panel.redraw = () => {
    if (!answer) return;
    const series = kind === "stack" ? ofOneSource(choice, answer.series) : answer.series;
    element.dataset.state = series.length ? "drawn" : stateOfNothing();
    element.querySelector("[data-act=log]")?.setAttribute("aria-pressed", String(isLogY()));
    element.querySelector("[data-act=share]")?.setAttribute("aria-pressed", String(isShare));
    if (!series.length) return;
    const look = lookNow();
    const now = version(series) + JSON.stringify([look, view.group, view.spread, view.hide, view.only, document.documentElement.dataset.bsTheme]);
    if (now === drawn) return;
    drawn = now;
    list = kind === "stack" ? stackOf(series, { style, label, isShare }) : linesOf(series, { style, label, smoothing: look.smoothing, group: groupOf(), spread: view.spread });
    panel.plot.draw(list.filter((line) => line.x.length && view.isShown(line.owner) && !hidden.has(line.key)), look);
    tellNote(series);
    tellLegend(null);
  };

  function tellNote(series) {
    const absences = [...element.querySelectorAll("[data-absence]")].map((item) => item.textContent);
    noted.textContent = note(series) + (answer.x === view.x ? "" : " · by elapsed time") + (view.range ? "" : " · range hidden") + (absences.length ? " · partly not measured" : "");
    noted.title = [noted.textContent, ...absences].join("\n");
  }

  function onOutside({ above, below }) {
    const count = above.length + below.length;
    outside.hidden = !count && !view.all.includes(panel.key);
    outside.textContent = count ? `${count.toLocaleString("en")} outside · show` : "leave outliers out";
    outside.title = count ? `${above.length} points lie above and ${below.length} below what is shown; marks at the edge say where.` : "";
  }

  // Where the page has a list of its runs, a legend that repeats it says nothing.
  function tellLegend(entries) {
    const isPerRun = runs.length > 1 && !view.group;
    const items = isPerRun ? keysOfDashes() : list.slice(0, LEGEND_MOST).map((line) => ({
      ...line, isShown: view.isShown(line.owner) && !hidden.has(line.key),
      value: metric(entries ? entries.find((entry) => entry.line.key === line.key)?.value : lastOf(line), unitNow()),
    }));
    writeLegend(legend, items, (key) => {
      const line = list.find((one) => one.key === key);
      if (isPerRun) return;
      if (view.group) view.toggleIn("hide", line.owner);
      else { hidden.has(key) ? hidden.delete(key) : hidden.add(key); panel.redraw(); }
    });
  }

  function keysOfDashes() {
    const first = list.filter((line) => line.owner === list[0].owner);
    return first.length < 2 ? [] : first.map((line) => ({ key: line.key, label: line.label.split(" · ").slice(1).join(" · "), colour: "var(--ink-3)", dash: line.dash - first[0].dash, isShown: true }));
  }

  function onCursor(x, isHere) {
    if (x === null || !list.length) { tip.hidden = true; tellLegend(null); return; }
    const entries = valuesAt(panel.plot.lines(), x, panel.plot.extent());
    if (runs.length === 1 || view.group) tellLegend(entries);
    tip.hidden = !isHere || !entries.length;
    if (tip.hidden) return;
    writeTip(tip, entries, { x: placeOf(entries, x), kind: answer.x, unit: unitNow(), yAt: panel.plot.yAt(), place: panel.plot.place(), isOrdered: true });
  }

  // A chart that has been drawn keeps its place where a span holds nothing; one that never was is a line in a list.
  const isOver = element.dataset.state === "empty";
  const stateOfNothing = () => {
    if (drawn) element.querySelector(".chart-empty").textContent = "No value in this part";
    else if (element.querySelector("[data-absence]")) return "absent";
    else if (isOver) return "empty";
    return "waiting";
  };
  panel.fail = (error) => {
    noted.textContent = `could not be read: ${error.message}`;
    noted.title = error.message;
  };

  const file = `${runs.length > 1 ? `${runs.length}-runs` : runs[0]}-${panel.key.replaceAll("/", "-")}`;
  const act = {
    log: () => view.toggleIn("flip", panel.key),
    share: () => { isShare = !isShare; panel.redraw(); },
    outside: () => view.toggleIn("all", panel.key),
    open: () => view.set({ open: view.open === panel.key ? "" : panel.key }),
    table: () => showTable(panel.plot, { title, unit: unitNow(), x: answer.x }),
    csv: () => saveText(csvOf(panel.plot, answer.x), "text/csv", `${file}.csv`),
    json: () => saveText(jsonOf(panel.plot, answer.x), "application/json", `${file}.json`),
    png: () => savePicture(panel.plot, title, file),
    svg: () => saveText(svgOf(panel.plot, title), "image/svg+xml", `${file}.svg`),
  };
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (!button || !(answer || button.dataset.act === "open")) return;
    button.closest("details.menu")?.removeAttribute("open");
    act[button.dataset.act]();
  });
  element.addEventListener("change", (event) => { if (event.target === choice) whenStale(panel); });
  holder.addEventListener("blur", () => { tip.hidden = true; });
  holder.addEventListener("keydown", (event) => onKey(event, panel, view));

  // The keyboard's cursor: to the next point of the longest line, spoken in one sentence.
  panel.move = (by) => {
    const longest = panel.plot.lines().reduce((best, line) => (line.x.length > (best?.x.length ?? 0) ? line : best), null);
    if (!longest) return;
    const { lo, hi } = panel.plot.extent();
    const xs = longest.x.filter((at) => at >= lo && at <= hi);
    const here = panel.plot.cursor();
    const now = here === undefined ? xs.length - 1 : xs.findLastIndex((at) => at <= here + (hi - lo) * 1e-6);
    const row = Math.min(xs.length - 1, Math.max(0, Number.isFinite(by) ? now + by : by > 0 ? xs.length - 1 : 0));
    panel.plot.setCursor(xs[row]);
    spoken.textContent = spokenOf(valuesAt(panel.plot.lines(), xs[row], { lo, hi }), { x: xs[row], kind: answer.x, unit: unitNow() });
  };
  return panel;
}

const lastOf = ({ y, part }) => {
  const values = part ?? y;
  for (let row = values.length - 1; row >= 0; row -= 1) if (!Number.isNaN(values[row])) return values[row];
  return null;
};

const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };

function onKey(event, panel, view) {
  if (event.shiftKey && event.key in MOVES) view.panBy(panel.axis(), Math.sign(MOVES[event.key]) * 0.25);
  else if (event.key in MOVES) panel.move(MOVES[event.key]);
  else if (event.key in ZOOMS) view.zoomBy(panel.axis(), ZOOMS[event.key], panel.plot.cursor());
  else if (event.key === "f") view.set({ open: view.open === panel.key ? "" : panel.key });
  else if (event.key === "Escape") view.open ? view.set({ open: "" }) : view.reset();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Reasons that the run has recorded since the page was made. An empty source says only that no value came yet.
function tellAbsences(element, missing, metrics, scope) {
  const found = new Map();
  for (const said of Object.values(missing)) {
    for (const name of metrics) {
      for (const [source, [status, reason]] of Object.entries(said[name] ?? {})) {
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
