// Which runs are selected: kept over pages, filters and refreshes; or all that match, however many.
import { around, create, find, findAll, required } from "../shared/dom.js";
import { currentFilter, currentQuery, totalRuns } from "./section.js";

/**
 * @typedef {object} Selection
 * @property {string[]} ids
 * @property {boolean} isAll every run that matches the filter, instead of the ids
 * @property {number} count
 * @property {string} filter
 */

/** @type {Set<string>} */
const selected = new Set();
let isAll = false;
const bar = required(document, "[data-choose]", HTMLFormElement);

/** @returns {Selection} */
export function selection() {
  return { ids: [...selected], isAll, count: isAll ? totalRuns() : selected.size, filter: currentFilter() };
}

const boxes = () => findAll(document, "#runs input[name=run]", HTMLInputElement);

/** @param {HTMLInputElement} box */
function takeOver(box) {
  if (box.checked) selected.add(box.value);
  else selected.delete(box.value);
}

/** @param {Event} event */
function onChange({ target }) {
  if (!(target instanceof HTMLInputElement)) return;
  if (target.matches("#runs input[name=run]")) takeOver(target);
  else if (target.matches("[data-tick-all]")) {
    for (const box of boxes()) {
      box.checked = target.checked;
      takeOver(box);
    }
  } else return;
  isAll = false;
  showSelection();
}

/** The form of the bar sends the selected runs, and which of them are hidden in charts. */
function writeForm() {
  for (const input of findAll(bar, "input[type=hidden]")) input.remove();
  const hidden = currentQuery().getAll("hide").filter((id) => selected.has(id));
  for (const value of selected) bar.append(create("input", { type: "hidden", name: "run", value }));
  for (const value of new Set(hidden)) bar.append(create("input", { type: "hidden", name: "hide", value }));
}

export function startSelection() {
  document.addEventListener("change", onChange);
  required(bar, "[data-clear]").addEventListener("click", clearSelection);
  required(bar, "[data-choose-all]").addEventListener("click", () => {
    isAll = true;
    showSelection();
  });
  bar.addEventListener("submit", writeForm);
  document.addEventListener("runs-shown", () => {
    isAll = false;
  });
  document.addEventListener("runs-changed", showSelection);
  document.addEventListener("compare-chosen", () => {
    if (selected.size) bar.requestSubmit();
  });
  for (const box of boxes()) if (box.checked) selected.add(box.value); // as the browser remembers them
  showSelection();
}

export function clearSelection() {
  selected.clear();
  isAll = false;
  showSelection();
}

/** Shows the selection in the rows and in the bar below the table. */
function showSelection() {
  const all = boxes();
  for (const box of all) {
    box.checked = isAll || selected.has(box.value);
    around(box, "tr")?.classList.toggle("is-chosen", box.checked);
  }
  const numTicked = all.filter((box) => box.checked).length;
  const areAllTicked = all.length > 0 && numTicked === all.length;
  const head = find(document, "[data-tick-all]", HTMLInputElement);
  if (head) {
    head.checked = areAllTicked;
    head.indeterminate = numTicked > 0 && numTicked < all.length;
  }
  showBar(areAllTicked && totalRuns() > all.length);
}

/** @param {boolean} hasMore whether more runs match than those of the page, all of which are selected */
function showBar(hasMore) {
  bar.hidden = !selected.size && !isAll;
  required(bar, "[data-compare]").hidden = isAll; // a chart of thousands of runs shows nothing
  required(bar, "[data-chosen]").textContent = selection().count.toLocaleString("en");
  const more = required(bar, "[data-choose-all]");
  more.hidden = isAll || !hasMore;
  more.textContent = `Select all ${totalRuns().toLocaleString("en")} that match`;
  const archive = find(bar, "[data-archive-word]");
  if (archive) archive.textContent = currentFilter().includes("is:archived") ? "Restore" : "Archive";
}
