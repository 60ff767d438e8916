// All charts of a page: which are in view, when each is read, and what a change of the view means for them.
/** @import { ChartNames, ViewState, XAxis } from "./types.d.ts" */
import { find, findAll, readJson } from "../shared/dom.js";
import { Panel } from "./panel.js";
import { SeriesReader } from "./reader.js";
import { showRunLegend } from "./run-legend.js";
import { View } from "./view.js";

const MIN_LIVE_GAP_MS = 500; // between two reads of what is new
const LIVE_SHARE = 0.25; // of the time that may be spent on reading what is new
const GATHER_MS = 50; // runs that grow within this time are read together
const SIGHT_MARGIN = "200px 0px"; // panels this near to the window count as in view

export class ChartPage {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {ChartNames} */
    this.names = readJson("chart-names");
    this.runs = root.dataset.runs?.split(" ") ?? Object.keys(this.names.runs);
    this.view = new View(root, {
      onFields: (names) => this.onFields(names),
      onSpan: (axis) => this.onSpan(axis),
      extentOf: (axis) => this.extentOf(axis),
    });
    this.reader = new SeriesReader(this.runs, this.view);
    this.panels = this.reader.panels = findAll(root, "[data-metrics]").map((element) =>
      new Panel(element, this.view, this.names, (panel) => this.reader.markStale((one) => one === panel)));
    /** @type {Set<string>} */
    this.grownRuns = new Set();
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.liveTimer = null;
    this.lastLiveRead = 0;
  }

  start() {
    this.watchSight();
    this.watchSizes();
    document.addEventListener("live:run", ({ detail }) => this.onGrowth(detail.id ?? detail.run));
    document.addEventListener("theme", () => {
      this.panels.forEach((panel) => panel.redraw());
      this.showLegend();
    });
    document.addEventListener("keydown", (event) => this.onKey(event));
    if (this.view.state.open) this.arrange();
    this.showLegend();
  }

  /** The legend that the charts of a block share, where the page has no list of runs. */
  showLegend() {
    const legend = find(this.root, "[data-run-legend]");
    if (legend) showRunLegend(legend, this.view, this.names, this.runs);
  }

  watchSight() {
    const sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const panel = this.panels.find((one) => one.element === target);
        if (!panel) continue;
        panel.isInView = isIntersecting;
        if (isIntersecting) panel.redraw(); // it may have changed out of view
      }
      this.reader.readStale();
    }, { rootMargin: SIGHT_MARGIN });
    for (const panel of this.panels) sight.observe(panel.element);
  }

  watchSizes() {
    const sizes = new ResizeObserver((entries) => {
      for (const { target } of entries) this.panels.find((panel) => panel.holder === target)?.plot.resize();
    });
    for (const panel of this.panels) sizes.observe(panel.holder);
  }

  /** @param {XAxis} axis */
  extentOf(axis) {
    return this.panels.find((panel) => panel.axis() === axis && panel.plot.extent())?.plot.extent();
  }

  /** @param {(keyof ViewState)[]} names Fields of the view that have changed. */
  onFields(names) {
    if (names.includes("x")) {
      this.reader.abortAll();
      this.reader.markStale(() => true);
    } else if (names.includes("open")) this.arrange();
    else for (const panel of this.panels) if (panel.isInView) panel.redraw();
    this.showLegend();
    this.root.dispatchEvent(new CustomEvent("view", { detail: { fields: names } }));
  }

  /** @param {XAxis | null} axis The axis whose span has changed, or null for all. */
  onSpan(axis) {
    this.reader.abortAll();
    this.reader.markStale((panel) => !axis || panel.axis() === axis);
  }

  /**
   * Only the runs that have grown are read again, soon and together.
   * @param {string | undefined} run undefined: any of them
   */
  onGrowth(run) {
    if (run && !this.runs.includes(run)) return;
    for (const one of run ? [run] : this.runs) this.grownRuns.add(one);
    const due = this.lastLiveRead + Math.max(MIN_LIVE_GAP_MS, this.reader.lastRequestMs / LIVE_SHARE);
    this.liveTimer ??= setTimeout(() => this.readGrown(), Math.max(GATHER_MS, due - performance.now()));
  }

  readGrown() {
    this.liveTimer = null;
    this.lastLiveRead = performance.now();
    for (const panel of this.panels) {
      // A zoomed axis shows a span of the past: nothing new comes into it.
      if (panel.stale === "all" || this.view.span(panel.axis())) continue;
      panel.stale = new Set([...(panel.stale ?? []), ...this.grownRuns]);
    }
    this.grownRuns.clear();
    this.reader.readStale();
  }

  /** Lets one panel fill the window, or none; it is then read as finely as it is wide. */
  arrange() {
    for (const panel of this.panels) {
      const isOpen = panel.key === this.view.state.open;
      panel.element.classList.toggle("is-open", isOpen);
      if (isOpen) panel.stale = "all";
      panel.readout.showLegend(null);
      find(panel.element, "[data-act=open]")?.setAttribute("aria-pressed", String(isOpen));
    }
    document.documentElement.toggleAttribute("data-covered", Boolean(this.view.state.open));
    this.reader.readStale();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.key !== "Escape" || !this.view.state.open || document.querySelector("dialog[open]")) return;
    this.view.set({ open: "" });
  }
}

/**
 * Starts the charts within an element.
 * @param {HTMLElement} root
 * @returns {ChartPage}
 */
export function startCharts(root) {
  const page = new ChartPage(root);
  page.start();
  return page;
}

