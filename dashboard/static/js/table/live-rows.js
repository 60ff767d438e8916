// Rows change in place while runs go on: only cells that differ are touched, so that focus, selection and scroll stay.
import { find, findAll } from "../shared/dom.js";
import { announceRows, fetchHtml, parseRows, parseSection, queryWith } from "./section.js";
import { runRows, showTable, tableSection } from "./section.js";

const GAP_MS = 1500; // between two refreshes
const MIN_WAIT_MS = 50; // changes within this time are read together
/** @type {Set<string>} */
const changedRuns = new Set();
let mayHaveNewRuns = false;
/** @type {ReturnType<typeof setTimeout> | null} */
let timer = null;
let lastRefresh = 0;

/** @param {string} run */
const rowOf = (run) => document.getElementById(`run-${run}`);

export function startLiveRows() {
  document.addEventListener("live:run", ({ detail }) => onChange(detail.id, false));
  document.addEventListener("live:job", ({ detail }) => onChange(detail.run, true));
  document.body.addEventListener("changed", refreshRows);
}

/** @param {string | undefined} run undefined: any @param {boolean} mayBeNew whether it may be missing in the table */
function onChange(run, mayBeNew) {
  if (run && rowOf(run)) changedRuns.add(run);
  else if (run && !mayBeNew) return;
  else mayHaveNewRuns = true;
  refreshSoon();
}

function refreshSoon() {
  timer ??= setTimeout(refresh, Math.max(MIN_WAIT_MS, lastRefresh + GAP_MS - Date.now()));
}

/** Refreshes all rows that are shown. */
export function refreshRows() {
  for (const row of runRows()) changedRuns.add(row.dataset.run ?? "");
  refreshSoon();
}

async function refresh() {
  timer = null;
  if (document.hidden) {
    mayHaveNewRuns = true;
    return;
  }
  lastRefresh = Date.now();
  const runs = [...changedRuns];
  changedRuns.clear();
  // A run that is missing may belong into the table: the whole page is read, unless a person is in the middle of it.
  if (mayHaveNewRuns && !document.querySelector(".rename, dialog[open]")) {
    mayHaveNewRuns = false;
    await refreshPage();
  } else if (runs.length) {
    const only = runs.map((run) => `only=${run}`).join("&");
    await refreshSome(await fetchHtml(`${queryWith({})}&${only}`));
  }
}

async function refreshPage() {
  if ("grouped" in tableSection().dataset) return;
  const query = queryWith({ page: new URLSearchParams(location.search).get("page") });
  const html = await fetchHtml(query, { "HX-Request": "true" });
  const fresh = html && parseSection(html);
  if (!fresh || fresh.querySelector("[data-refusal]")) return;
  const body = find(tableSection(), "tbody[data-rows]");
  const rows = findAll(fresh, "tr[data-run]");
  if (!body || !rows.length) {
    if (rows.length || body) showTable(query, { keepsAddress: true });
    return;
  }
  tableSection().dataset.total = fresh.dataset.total;
  const pages = find(fresh, ".pages");
  if (pages) find(tableSection(), ".pages")?.replaceWith(pages);
  arrangeRows(body, rows);
  announceRows();
}

/**
 * Updates the rows that stay, adds and removes the others; the row with the focus stays.
 * @param {HTMLElement} body
 * @param {HTMLElement[]} rows
 */
function arrangeRows(body, rows) {
  const wanted = new Set(rows.map((row) => row.id));
  for (const row of [...body.children]) {
    if (!wanted.has(row.id) && !row.contains(document.activeElement)) row.remove();
  }
  rows.forEach((row, index) => {
    const current = rowOf(row.dataset.run ?? "");
    if (current) updateCells(current, row);
    const placed = current ?? row;
    if (body.children[index] !== placed) body.insertBefore(placed, body.children[index] ?? null);
  });
}

/** @param {string | null} html */
async function refreshSome(html) {
  if (!html) return;
  for (const row of parseRows(html)) {
    const current = rowOf(row.dataset.run ?? "");
    if (current) updateCells(current, row);
  }
  announceRows();
}

/**
 * Cell by cell; the one with the focus stays as it is, and so does the box that selects the run.
 * @param {HTMLElement} current
 * @param {HTMLElement} fresh
 */
function updateCells(current, fresh) {
  current.className = fresh.className;
  [...fresh.children].forEach((cell, index) => {
    const old = current.children[index];
    if (!old || old.classList.contains("tick-col") || old.contains(document.activeElement)) return;
    // A row alone does not know whether its value is the best of the page: the mark stays as long as the value does.
    const isBest = old.classList.contains("is-best") && old.textContent === cell.textContent;
    if (old.innerHTML !== cell.innerHTML) old.innerHTML = cell.innerHTML;
    old.className = cell.className;
    if (isBest) old.classList.add("is-best");
    else if (!cell.getAttribute("title")) old.removeAttribute("title");
  });
}
