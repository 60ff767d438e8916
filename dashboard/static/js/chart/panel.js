// One panel: a chart with its head, legend and tooltip, and the notes on what it shows.
/** @import { ChartNames, Display, Line, Outside, Series, SeriesAnswer, XAxis } from "./types.d.ts" */
/** @import { View } from "./view.js" */
import { find, required } from "../shared/dom.js";
import { absenceTexts, hasAbsence, showAbsences } from "./absences.js";
import { LineNames } from "./line-names.js";
import { linesFromSeries, samplingNote, stackLines } from "./lines.js";
import { listenToActions } from "./panel-actions.js";
import { onPanelKey } from "./panel-keys.js";
import { Plot } from "./plot.js";
import { Readout } from "./readout.js";
import { fingerprint, pointsForWidth } from "./series.js";

const PLOT_MARGIN = 82; // pixels beside the plot: the y axis and the padding

export class Panel {
  /**
   * @param {HTMLElement} element
   * @param {View} view
   * @param {ChartNames} names
   * @param {(panel: Panel) => void} onStale called when everything must be read again
   */
  constructor(element, view, names, onStale) {
    const { scope = "", unit = "", kind, metrics = "", state } = element.dataset;
    this.element = element;
    this.view = view;
    this.scope = scope;
    this.unit = unit;
    this.isStack = kind === "stack";
    this.isOver = state === "empty"; // the run has ended without a value
    this.metrics = metrics.split(" ").map(decodeURIComponent); // a space in a name stands as %20
    this.key = this.metrics[0];
    this.title = required(element, "h3").textContent ?? "";
    this.holder = required(element, ".chart");
    this.sourceSelect = find(element, "[data-source-choice]", HTMLSelectElement); // of a stack
    this.lineNames = new LineNames(names, this);
    this.runs = this.lineNames.runs;
    /** @type {"all" | Set<string> | null} What must be read again: everything, or some runs. */
    this.stale = "all";
    this.isInView = false;
    /** @type {Set<string>} Lines that this panel's own legend has hidden. */
    this.hiddenLines = new Set();
    this.isShare = false; // of a stack: parts of the whole instead of amounts
    /** @type {{ x: XAxis, series: Series[] } | null} */
    this.answer = null;
    this.drawn = ""; // what is drawn, as a text that differs whenever it must be drawn again
    /** @type {Line[]} Hidden ones too. */
    this.lines = [];
    this.readout = new Readout(this);
    this.plot = this.createPlot(names.attempts ?? {});
    this.listen(onStale);
  }

  /** @param {Record<string, string>} attemptNames */
  createPlot(attemptNames) {
    const { unit, floor, ceiling } = this.element.dataset;
    const attemptName = (/** @type {number} */ attempt) => attemptNames[attempt] ?? `attempt ${attempt}`;
    return new Plot({
      holder: this.holder,
      tooltip: this.readout.tooltip,
      unit: unit ?? "",
      floor: numberOrNull(floor),
      ceiling: numberOrNull(ceiling),
      attemptName: this.runs.length === 1 ? attemptName : null,
    }, {
      onZoom: (lo, hi) => this.view.zoom(this.axis(), lo, hi),
      onReset: () => this.view.reset(),
      onCursor: (x, isHere) => this.readout.showCursor(x, isHere),
      onOutside: (outside) => this.showOutside(outside),
    });
  }

  /** @param {(panel: Panel) => void} onStale */
  listen(onStale) {
    listenToActions(this);
    this.element.addEventListener("change", ({ target }) => {
      if (target === this.sourceSelect) onStale(this);
    });
    this.holder.addEventListener("keydown", (event) => onPanelKey(event, this, this.view));
  }

  /** The axis that is asked for: devices are read by the clock, not by the step. @returns {XAxis} */
  axis() {
    const { x } = this.view.state;
    return this.scope === "device" && (x === "step" || x === "tokens") ? "relative" : x;
  }

  /** The axis of what is drawn. @returns {XAxis} */
  shownAxis() {
    return this.answer?.x ?? this.axis();
  }

  shownUnit() {
    return this.isShare ? "share" : this.unit;
  }

  source() {
    return this.sourceSelect?.value ?? "";
  }

  /** How many buckets the width of the chart can show. */
  points() {
    const width = this.isOpen() ? innerWidth : this.holder.clientWidth;
    return pointsForWidth(width - PLOT_MARGIN);
  }

  isLogY() {
    return this.view.state.logy !== this.view.state.flip.includes(this.key);
  }

  toggleShare() {
    this.isShare = !this.isShare;
    this.redraw();
  }

  isOpen() {
    return this.element.classList.contains("is-open");
  }

  toggleOpen() {
    this.view.set({ open: this.view.state.open === this.key ? "" : this.key });
  }

  /**
   * Takes over an answer: the whole, or new series of some runs only.
   * @param {SeriesAnswer} answer may hold series of other panels
   * @param {XAxis} x
   * @param {string[] | null} runs null: all of them
   */
  receive(answer, x, runs) {
    showAbsences(this.element, answer.missing, this.metrics, this.scope);
    const fresh = answer.series.filter((series) => this.metrics.includes(series.metric));
    const rest = runs && this.answer ? this.answer.series.filter((series) => !runs.includes(series.run)) : [];
    const runOf = (/** @type {Series} */ series) => this.runs.indexOf(series.run);
    const metricOf = (/** @type {Series} */ series) => this.metrics.indexOf(series.metric);
    const series = [...rest, ...fresh].sort((a, b) => runOf(a) - runOf(b) || metricOf(a) - metricOf(b));
    this.answer = { x, series };
    this.redraw();
  }

  /** Draws the panel again where what it shows has changed. */
  redraw() {
    if (!this.answer) return;
    const series = this.sourceSelect ? ofSelectedSource(this.sourceSelect, this.answer.series) : this.answer.series;
    this.element.dataset.state = series.length ? "drawn" : this.emptyState();
    find(this.element, "[data-act=log]")?.setAttribute("aria-pressed", String(this.isLogY()));
    find(this.element, "[data-act=share]")?.setAttribute("aria-pressed", String(this.isShare));
    if (!series.length) return;
    const display = this.display(this.answer.x);
    const { colour, group, spread, hide, only } = this.view.state;
    const theme = document.documentElement.dataset.bsTheme;
    const drawn = fingerprint(series) + JSON.stringify([display, colour, group, spread, hide, only, theme]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.lines = this.linesOf(series, display.smoothing);
    this.plot.draw(this.lines.filter((line) => line.x.length && this.isShown(line)), display);
    this.showNote(series);
    this.readout.showLegend(null);
  }

  /** @param {Series[]} list @param {number} smoothing */
  linesOf(list, smoothing) {
    const all = this.answer?.series ?? [];
    const options = {
      style: (/** @type {Series} */ series, /** @type {number} */ index) =>
        this.lineNames.style(series, index, all, this.view.state.colour),
      label: (/** @type {Series} */ series) => this.lineNames.label(series),
      short: (/** @type {Series} */ series) => this.lineNames.label(series, "short"),
    };
    if (this.isStack) return stackLines(list, { ...options, isShare: this.isShare });
    const { group, spread } = this.view.state;
    return linesFromSeries(list, { ...options, smoothing, group: this.lineNames.grouping(group), spread });
  }

  /** @param {Line} line */
  isShown(line) {
    return this.view.isShown(line.owner) && !this.hiddenLines.has(line.key);
  }

  /** @param {XAxis} x @returns {Display} */
  display(x) {
    const { state } = this.view;
    return {
      x,
      span: this.view.span(x),
      logX: state.logx && x !== "time",
      logY: this.isLogY() && !this.isStack,
      range: state.range,
      cut: state.cut && !this.isStack && !state.all.includes(this.key),
      smoothing: this.isStack ? 0 : state.smooth,
      emphasis: null,
      hidden: [...this.hiddenLines],
      ...(this.isShare ? { unit: "share", ceiling: 1 } : {}),
    };
  }

  /** A chart that has been drawn stays where a span holds nothing; one that never was is a line in a list. */
  emptyState() {
    if (this.drawn) required(this.element, ".chart-empty").textContent = "No value in this part";
    else if (hasAbsence(this.element)) return "absent";
    else if (this.isOver) return "empty";
    return "waiting";
  }

  /** @param {Series[]} series */
  showNote(series) {
    const absences = absenceTexts(this.element);
    const text = [
      samplingNote(series),
      this.shownAxis() === this.view.state.x ? "" : " · by elapsed time",
      this.view.state.range ? "" : " · range hidden",
      absences.length ? " · partly not measured" : "",
    ].join("");
    this.setNote(text, [text, ...absences].join("\n"));
  }

  /** @param {Error} error of a request for this panel's series */
  showProblem(error) {
    this.setNote(`could not be read: ${error.message}`, error.message);
  }

  /** @param {string} text @param {string} title */
  setNote(text, title) {
    Object.assign(required(this.element, "[data-note]"), { textContent: text, title });
  }

  /** @param {Outside} outside */
  showOutside({ above, below }) {
    const count = above.length + below.length;
    Object.assign(required(this.element, "[data-outside]"), {
      hidden: !count && !this.view.state.all.includes(this.key),
      textContent: count ? `${count.toLocaleString("en")} outside · show` : "leave outliers out",
      title: count
        ? `${above.length} points lie above and ${below.length} below what is shown; marks at the edge say where.`
        : "",
    });
  }

  /**
   * Hides a line of this panel or shows it again; a run of several or a group, in all panels.
   * @param {Line} line
   */
  toggleLine({ owner, key }) {
    const isWhole = this.runs.length > 1 && this.lines.filter((line) => line.owner === owner).length === 1;
    if (this.view.state.group || isWhole) {
      this.view.toggle("hide", owner);
      return;
    }
    if (!this.hiddenLines.delete(key)) this.hiddenLines.add(key);
    this.redraw();
  }
}

/** @param {string | undefined} text */
function numberOrNull(text) {
  return text === "" || text === undefined ? null : Number(text);
}

/**
 * A stack adds up for one rank only; the server fills the select where it knows the ranks already.
 * @param {HTMLSelectElement} select
 * @param {Series[]} list
 */
function ofSelectedSource(select, list) {
  if (!select.options.length) {
    const sources = [...new Set(list.map((series) => series.source))];
    select.replaceChildren(...sources.map((source) => new Option(source.replace(/^rank/, "rank "), source)));
    select.hidden = sources.length < 2;
  }
  return list.filter((series) => series.source === select.value);
}
