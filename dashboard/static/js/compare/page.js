// The compare page: the list of its runs is the legend of all its charts.
/** @import { ChartPage } from "../chart/page.js" */
import { startCharts } from "../chart/page.js";
import { closest, find, findAll, required } from "../shared/dom.js";

const NUM_DASHES = 6; // that a swatch of the list can show (css/charts.css)

const list = required(document, "[data-run-list]");
const rows = findAll(list, "li[data-run]");
const root = find(document, "[data-charts]");

/** @param {Event} event @returns {string | undefined} The run of the row that an event is about. */
const runOf = (event) => closest(event, "[data-run]")?.dataset.run;

/**
 * Shows other runs, which is another page; what else the address says goes along.
 * @param {string[]} runs
 */
function goToRuns(runs) {
  const query = new URLSearchParams(location.search);
  query.delete("filter");
  query.delete("run");
  for (const run of runs) query.append("run", run);
  location.search = query.toString();
}

class RunList {
  /** @param {ChartPage} charts */
  constructor({ view, panels, names }) {
    this.view = view;
    this.panels = panels;
    this.names = names;
    this.runs = Object.keys(names.runs);
    /** @type {{ run: string | null } | null} The emphasis that the next frame draws. */
    this.nextEmphasis = null;
  }

  /** @param {Event} event */
  onClick(event) {
    const button = closest(event, "button");
    if (!button) return;
    const run = runOf(event) ?? "";
    const isAlt = event instanceof MouseEvent && event.altKey;
    if ("runDrop" in button.dataset) goToRuns(this.runs.filter((one) => one !== run));
    else if ("showAll" in button.dataset) this.view.set({ hide: [], only: [] });
    else if ("showNone" in button.dataset) this.view.set({ hide: this.runs, only: [] });
    else if (button.dataset.runAdd === undefined) {
      if ("runOnly" in button.dataset || isAlt) this.showOnly(run);
      else this.toggle(run);
    }
  }

  /**
   * Hides a run or shows it again. The address names what is hidden or what is not, whichever is shorter.
   * @param {string} run
   */
  toggle(run) {
    const shown = this.runs.filter((one) => this.view.isShown(one) !== (one === run));
    const hidden = this.runs.filter((one) => !shown.includes(one));
    const isShorter = shown.length > 0 && shown.length < hidden.length;
    this.view.set(isShorter ? { only: shown, hide: [] } : { only: [], hide: hidden });
  }

  /** @param {string} run Shown alone; all are shown again where it was alone. */
  showOnly(run) {
    const isAlone = this.runs.every((one) => this.view.isShown(one) === (one === run));
    this.view.set({ hide: [], only: isAlone ? [] : [run] });
  }

  /** @param {string | null} run Its lines stand out; null: none. */
  emphasize(run) {
    if (!this.nextEmphasis) requestAnimationFrame(() => this.drawEmphasis());
    this.nextEmphasis = { run };
  }

  drawEmphasis() {
    const run = this.nextEmphasis?.run ?? null;
    for (const panel of this.panels) if (panel.isInView) panel.plot.emphasize(run);
    this.nextEmphasis = null;
  }

  /** Shows in the list what the view says, and only the charts that are searched for. */
  showView() {
    for (const row of rows) {
      const run = row.dataset.run ?? "";
      required(row, "[data-run-toggle]").setAttribute("aria-pressed", String(this.view.isShown(run)));
      required(row, ".swatch").dataset.dash = String(this.names.runs[run].dash % NUM_DASHES);
    }
    list.classList.toggle("is-grouped", Boolean(this.view.state.group));
  }
}

/**
 * Shows the charts whose names have a text, or match a regular expression as in /loss$/.
 * @param {HTMLElement} root
 * @param {ChartPage} charts
 */
function showFoundCharts(root, { view, panels }) {
  const text = view.state.find;
  const matches = matcherFor(text);
  for (const { element, title, metrics } of panels) element.hidden = !matches(`${title} ${metrics.join(" ")}`);
  for (const section of findAll(root, "[data-section]")) section.hidden = !find(section, ".panel:not([hidden])");
  required(root, "[data-nothing-found]").hidden = !text || find(root, ".panel:not([hidden])") !== null;
}

/** @param {string} wanted @returns {(text: string) => boolean} */
function matcherFor(wanted) {
  const pattern = wanted.match(/^\/(.+?)\/?$/)?.[1];
  if (!pattern) return (text) => text.toLowerCase().includes(wanted.toLowerCase());
  try {
    const expression = new RegExp(pattern, "i");
    return (text) => expression.test(text);
  } catch {
    return () => false; // half a pattern, while it is typed
  }
}

/** @param {HTMLElement} root @param {ChartPage} charts Sections stay closed as the address says. */
function listenToSections(root, { view }) {
  for (const section of findAll(root, "[data-section]", HTMLDetailsElement)) {
    const name = section.dataset.section ?? "";
    section.open = !view.state.closed.includes(name);
    section.addEventListener("toggle", () => {
      if (section.open === view.state.closed.includes(name)) view.toggle("closed", name);
    });
  }
}

/** @param {HTMLElement} root */
function start(root) {
  const charts = startCharts(root);
  const runList = new RunList(charts);
  const showView = () => {
    runList.showView();
    showFoundCharts(root, charts);
  };
  list.addEventListener("click", (event) => runList.onClick(event));
  list.addEventListener("pointerover", (event) => runList.emphasize(runOf(event) ?? null));
  list.addEventListener("pointerleave", () => runList.emphasize(null));
  list.addEventListener("focusin", (event) => runList.emphasize(runOf(event) ?? null));
  list.addEventListener("focusout", () => runList.emphasize(null));
  listenToSections(root, charts);
  root.addEventListener("view", showView);
  showView();
}

list.addEventListener("click", (event) => {
  const added = closest(event, "[data-run-add]")?.dataset.runAdd;
  if (added) goToRuns([...rows.map((row) => row.dataset.run ?? ""), added]);
});
find(list, "[data-find-runs]")?.addEventListener("input", ({ target }) => {
  const words = target instanceof HTMLInputElement ? target.value.toLowerCase().split(/\s+/) : [];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent?.toLowerCase().includes(word));
});
if (root) start(root);
