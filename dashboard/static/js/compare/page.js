// The compare page: the list of its runs is the legend of all its charts.
import { startCharts } from "../chart/page.js";

const list = document.querySelector("[data-run-list]");
const root = document.querySelector("[data-charts]");
const { view, panels, names } = root ? startCharts(root) : {};
const runs = Object.keys(names?.runs ?? {});
const rows = [...list.querySelectorAll("li[data-run]")];
const FOLDED = "closed"; // field of the view: sections that are folded

list.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const run = button.closest("[data-run]")?.dataset.run;
  if ("runAdd" in button.dataset) go([...runs, button.dataset.runAdd]);
  else if ("runDrop" in button.dataset) go(runs.filter((one) => one !== run));
  else if ("showAll" in button.dataset) view.set({ hide: [], only: [] });
  else if ("showNone" in button.dataset) view.set({ hide: runs, only: [] });
  else if ("runOnly" in button.dataset || event.altKey) solo(run);
  else toggle(run);
});

// The address names the shorter of the two: what is hidden, or what is not.
function toggle(run) {
  const shown = runs.filter((one) => (one === run ? !view.isShown(one) : view.isShown(one)));
  const hidden = runs.filter((one) => !shown.includes(one));
  view.set(shown.length && shown.length < hidden.length ? { only: shown, hide: [] } : { only: [], hide: hidden });
}

function solo(run) {
  const isAlone = runs.every((one) => view.isShown(one) === (one === run));
  view.set({ hide: [], only: isAlone ? [] : [run] });
}

// Other runs are other pages; what else the address says goes along.
function go(wanted) {
  const query = new URLSearchParams(location.search);
  query.delete("filter");
  query.delete("run");
  for (const run of wanted) query.append("run", run);
  location.search = query;
}

list.addEventListener("pointerover", ({ target }) => emphasise(target.closest("[data-run]")?.dataset.run ?? null));
list.addEventListener("pointerleave", () => emphasise(null));
list.addEventListener("focusin", ({ target }) => emphasise(target.closest("[data-run]")?.dataset.run ?? null));
list.addEventListener("focusout", () => emphasise(null));

let asked = null;
function emphasise(run) {
  if (asked === null) requestAnimationFrame(() => {
    for (const panel of panels ?? []) if (panel.isInView) panel.plot.emphasise(asked.run);
    asked = null;
  });
  asked = { run };
}

list.querySelector("[data-find-runs]")?.addEventListener("input", ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
});

function showView() {
  for (const row of rows) {
    row.querySelector("[data-run-toggle]").setAttribute("aria-pressed", String(view.isShown(row.dataset.run)));
    row.querySelector(".swatch").dataset.dash = names.runs[row.dataset.run].dash % 6;
  }
  list.classList.toggle("is-grouped", Boolean(view.group));
  findCharts(view.find);
}

// A word, or a regular expression as in /loss$/.
function findCharts(wanted) {
  const test = matcher(wanted);
  for (const panel of panels) panel.element.hidden = !test(`${panel.element.querySelector("h3").textContent} ${panel.metrics.join(" ")}`);
  for (const section of root.querySelectorAll("[data-section]")) section.hidden = !section.querySelector(".panel:not([hidden])");
  root.querySelector("[data-nothing-found]").hidden = !wanted || Boolean(root.querySelector(".panel:not([hidden])"));
}

function matcher(wanted) {
  const pattern = wanted.match(/^\/(.+?)\/?$/)?.[1];
  try {
    if (pattern) return (text) => new RegExp(pattern, "i").test(text);
  } catch { return () => false; } // half a pattern, while it is typed
  return (text) => text.toLowerCase().includes(wanted.toLowerCase());
}

if (view) {
  for (const section of root.querySelectorAll("[data-section]")) {
    section.open = !view[FOLDED].includes(section.dataset.section);
    section.addEventListener("toggle", () => {
      if (section.open === view[FOLDED].includes(section.dataset.section)) view.toggleIn(FOLDED, section.dataset.section);
    });
  }
  root.addEventListener("view", showView);
  showView();
}
