// The compare page: the list of its runs is the legend of all its charts.
/** @import { ChartPage } from "../chart/page.js" */
/** @import { Colouring } from "../chart/colour-by.js" */
import { colourBy } from "../chart/colour-by.js";
import { startCharts } from "../chart/page.js";
import { closest, create, find, findAll, required } from "../shared/dom.js";
import { cutName } from "../shared/names.js";

const NUM_DASHES = 6; // that a swatch of the list can show (css/charts.css)

const list = required(document, "[data-run-list]");
const rows = findAll(list, "li[data-run]");
const root = find(document, "[data-charts]");

/** @param {Event} event @returns {string | undefined} The run of the row that an event is about. */
const runOf = (event) => closest(event, "[data-run]")?.dataset.run;

/** Runs of the address; an empty text keeps the place of a run that was taken out: the others keep their colours. */
function placesOfRuns() {
  const named = new URLSearchParams(location.search).getAll("run");
  return named.some(Boolean) ? named : rows.map((row) => row.dataset.run ?? "");
}

/**
 * Shows other runs, which is another page; what else the address says goes along.
 * @param {string[]} places
 */
function goToRuns(places) {
  const query = new URLSearchParams(location.search);
  query.delete("filter");
  query.delete("run");
  for (const run of places.slice(0, places.findLastIndex(Boolean) + 1)) query.append("run", run);
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
    if ("runDrop" in button.dataset) goToRuns(placesOfRuns().map((one) => (one === run ? "" : one)));
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
    const colouring = colourBy(this.names, this.view.state.colour);
    for (const row of rows) {
      const run = row.dataset.run ?? "";
      required(row, "[data-run-toggle]").setAttribute("aria-pressed", String(this.view.isShown(run)));
      const { colour, dash } = colouring?.styles[run] ?? this.names.runs[run];
      const swatch = required(row, ".swatch");
      swatch.dataset.dash = String(dash % NUM_DASHES);
      swatch.style.setProperty("--stroke", colour);
    }
    list.classList.toggle("is-grouped", Boolean(this.view.state.group));
    this.showColours(colouring);
  }

  /** @param {Colouring | null} colouring What the colours mean, where they follow a parameter or tag. */
  showColours(colouring) {
    const key = find(document, "[data-colour-key]");
    if (!key) return;
    key.hidden = !colouring || Boolean(this.view.state.group);
    key.replaceChildren(...(colouring?.keys ?? []).map(({ colour, dash, label }) => {
      const swatch = create("i", { className: "swatch" });
      swatch.style.setProperty("--stroke", colour);
      swatch.dataset.dash = String(dash % NUM_DASHES);
      return create("li", {}, swatch, cutName(label));
    }));
    key.classList.toggle("is-scale", Boolean(colouring?.isScale));
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
  document.addEventListener("theme", showView);
  showView();
}

list.addEventListener("click", (event) => {
  const added = closest(event, "[data-run-add]")?.dataset.runAdd;
  if (!added) return;
  const places = placesOfRuns();
  const free = places.indexOf("");
  goToRuns(free < 0 ? [...places, added] : places.with(free, added));
});
find(list, "[data-find-runs]")?.addEventListener("input", ({ target }) => {
  const words = target instanceof HTMLInputElement ? target.value.toLowerCase().split(/\s+/) : [];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent?.toLowerCase().includes(word));
});
if (root) start(root);
