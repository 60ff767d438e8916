// Rows change in place while runs go on: only cells that differ are touched, so focus, choice and scroll stay.
import { address, changed, parsedRows, section, show } from "./state.js";

const GAP_MS = 1500;
const grown = new Set();
let isNew = false, timer = null, last = 0;

const rowOf = (id) => document.getElementById(`run-${id}`);

export function listenToLive() {
  document.addEventListener("live:run", ({ detail }) => hear(detail.id, false));
  document.addEventListener("live:job", ({ detail }) => hear(detail.run, true));
  document.body.addEventListener("changed", () => refreshRows());
}

function hear(id, mayBeNew) {
  if (id && rowOf(id)) grown.add(id);
  else if (id && !mayBeNew) return;
  else isNew = true;
  later();
}

function later() {
  timer ??= setTimeout(refresh, Math.max(50, last + GAP_MS - Date.now()));
}

// All rows that are shown, whatever has changed.
export function refreshRows() {
  for (const row of section().querySelectorAll("tr[data-run][id]")) grown.add(row.dataset.run);
  later();
}

async function refresh() {
  timer = null;
  if (document.hidden) { isNew = true; return; }
  last = Date.now();
  const ids = [...grown];
  grown.clear();
  // A run that is not there yet may belong into the table: the page is looked at once more, if nobody is in the middle.
  if (isNew && !document.querySelector(".rename, dialog[open]")) {
    isNew = false;
    await look();
  } else if (ids.length) {
    const only = ids.map((id) => `only=${id}`).join("&");
    const query = address({});
    await patch(await text(`${location.pathname}${query}&${only}`));
  }
}

async function look() {
  if ("grouped" in section().dataset) return;
  const page = new URLSearchParams(location.search).get("page");
  const query = address({ page });
  const html = await text(`${location.pathname}${query}`, { "HX-Request": "true" });
  const fresh = html && new DOMParser().parseFromString(html, "text/html").getElementById("runs");
  if (!fresh || fresh.querySelector("[data-refusal]")) return;
  const body = section().querySelector("tbody[data-rows]");
  const rows = [...fresh.querySelectorAll("tr[data-run]")];
  if (!body || !rows.length) { if (rows.length || body) show(query, { keep: true }); return; }
  section().dataset.total = fresh.dataset.total;
  section().querySelector(".pages")?.replaceWith(fresh.querySelector(".pages"));
  const wanted = new Set(rows.map((row) => row.id));
  for (const row of [...body.children]) if (!wanted.has(row.id) && !row.contains(document.activeElement)) row.remove();
  rows.forEach((row, at) => {
    const here = rowOf(row.dataset.run);
    if (here) fill(here, row);
    const placed = here ?? row;
    if (body.children[at] !== placed) body.insertBefore(placed, body.children[at] ?? null);
  });
  changed();
}

async function text(path, headers = {}) {
  const answer = await fetch(path, { headers }).catch(() => null);
  return answer?.ok ? answer.text() : null;
}

async function patch(html) {
  if (!html) return;
  for (const row of parsedRows(html)) {
    const here = rowOf(row.dataset.run);
    if (here) fill(here, row);
  }
  changed();
}

// Cell by cell; the one that somebody is in stays as it is, and so does the box that chooses the run.
function fill(here, fresh) {
  here.className = fresh.className;
  [...fresh.children].forEach((cell, at) => {
    const old = here.children[at];
    if (!old || old.classList.contains("tick-col") || old.contains(document.activeElement)) return;
    // A row alone does not know whether its value is the best of the page: the mark stays as long as the value does.
    const isBest = old.classList.contains("is-best") && old.textContent === cell.textContent;
    if (old.innerHTML !== cell.innerHTML) old.innerHTML = cell.innerHTML;
    old.className = cell.className;
    if (isBest) old.classList.add("is-best"); else if (!cell.title) old.removeAttribute("title");
  });
}
