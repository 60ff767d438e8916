// The page of the table of runs: links, toggles and groups; the other modules of this folder listen for themselves.
import { around, byId, closest, create, findAll } from "../shared/dom.js";
import { listenToAnnotations } from "./annotations.js";
import { startColumnPicker } from "./column-picker.js";
import { fitWidths, listenToWidths } from "./column-widths.js";
import { startFilter } from "./filter.js";
import { startLiveRows } from "./live-rows.js";
import { announceRows, currentQuery, fetchHtml, parseRows, queryToggling, queryWith } from "./section.js";
import { runOfRow, showTable, tableSection } from "./section.js";
import { startSelection } from "./selection.js";

/** @param {MouseEvent} event */
function onClick(event) {
  const link = closest(event, "a[data-soft]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    const { narrow } = link.dataset;
    showTable(narrow ? queryWith({ filter: narrow }) : link.getAttribute("href") ?? "");
    return;
  }
  const toggle = closest(event, "[data-toggle]");
  if (toggle) showTable(queryToggling(toggle.dataset.toggle ?? "", runOfRow(toggle)));
  if (closest(event, "[data-differs]")) showTable(queryWith({ differs: currentQuery().has("differs") ? null : "1" }));
  if (closest(event, "[data-show-archived]")) showTable(queryWith({ filter: "is:archived" }));
  if (closest(event, "[data-filter-help]")) byId("filter-help", HTMLDialogElement).showModal();
  around(closest(event, "[data-leave]"), "dialog", HTMLDialogElement)?.close();
  const expander = closest(event, "[data-expand]");
  if (expander) toggleGroup(expander);
}

/**
 * Shows the runs of a group under its row, or hides them again.
 * @param {HTMLElement} button
 */
async function toggleGroup(button) {
  const row = around(button, "tr");
  if (!row) return;
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) {
    removeRunsAfter(row);
    announceRows();
    return;
  }
  const columns = findAll(tableSection(), "th[data-key]").map((head) => head.dataset.key ?? "");
  const query = queryWith({ filter: row.dataset.group ?? "", group: null, pin: null, col: columns });
  const html = await fetchHtml(`${query}&part=rows`);
  if (html === null) return;
  const rows = parseRows(html);
  rows.forEach(fitIntoGroup);
  row.after(...rows);
  announceRows();
}

/** @param {HTMLElement} row of a group */
function removeRunsAfter(row) {
  let next = row.nextElementSibling;
  while (next instanceof HTMLElement && next.dataset.run !== undefined) {
    next.remove();
    next = row.nextElementSibling;
  }
}

/** @param {HTMLTableRowElement} row A group's table has no box to select a run, but the number of runs. */
function fitIntoGroup(row) {
  row.querySelector(".tick-col")?.remove();
  row.insertBefore(create("td"), row.children[1] ?? null);
  row.removeAttribute("id");
  row.classList.add("is-in-group");
}

document.addEventListener("click", onClick);
addEventListener("popstate", () => {
  showTable(location.search, { keepsAddress: true });
});

startFilter();
startSelection();
listenToAnnotations();
startColumnPicker();
listenToWidths();
startLiveRows();
fitWidths();
