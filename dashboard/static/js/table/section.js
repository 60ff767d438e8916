// The table of runs on the page. Its address is its state: another address is another table, which is fetched and put
// in place without losing focus or scroll.
import { byId, create, find, findAll, required } from "../shared/dom.js";
import { showNotice } from "../shared/notices.js";
import { fetchFragment } from "../shared/requests.js";
import { fitWidths } from "./column-widths.js";

/**
 * Name in the address -> its value, or its values; null and "" take it out.
 * @typedef {Record<string, string | string[] | null>} Changes
 */

const FIRST_PAGE = "page=1";
let lastRequest = 0; // answers to older requests are dropped

/** @returns {HTMLElement} It is replaced whenever another table is shown. */
export const tableSection = () => byId("runs");

/** @returns {string} The filter of the table that is shown. */
export const currentFilter = () => tableSection().dataset.filterNow ?? "";

/** @returns {number} How many runs match, on all pages. */
export const totalRuns = () => Number(tableSection().dataset.total);

/** @returns {URLSearchParams} The state of the table that is shown. */
export const currentQuery = () => new URLSearchParams((tableSection().dataset.state ?? "").slice(1));

/**
 * Shows the table of another address. A filter that the server does not understand leaves the table as it is.
 * @param {string} query
 * @param {{ keepsAddress?: boolean }} [options] keepsAddress: the page is there already, or stays where it is
 */
export async function showTable(query, { keepsAddress = false } = {}) {
  lastRequest += 1;
  const current = lastRequest;
  const html = await fetchHtml(query || `?${FIRST_PAGE}`, { "HX-Request": "true" });
  if (current !== lastRequest) return;
  const fresh = html === null ? null : parseSection(html);
  if (!fresh) {
    showNotice("The server does not answer. The table is as it was.", "bad");
    return;
  }
  const refusal = find(fresh, "[data-refusal]");
  document.dispatchEvent(new CustomEvent("filter-refused", { detail: refusal?.dataset ?? null }));
  if (refusal) return;
  replaceSection(fresh);
  if (!keepsAddress) history.pushState(null, "", `${location.pathname}${shortQuery(query)}`);
  document.dispatchEvent(new Event("runs-shown"));
  announceRows();
}

/** @param {HTMLElement} fresh */
function replaceSection(fresh) {
  const focused = document.activeElement?.id;
  const scrolled = find(document, "[data-scroller]")?.scrollLeft ?? 0;
  tableSection().replaceWith(fresh);
  const scroller = find(document, "[data-scroller]");
  if (scroller) scroller.scrollLeft = scrolled;
  if (focused && document.activeElement?.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

/**
 * Part of this page as HTML; null where the server does not answer.
 * @param {string} query
 * @param {Record<string, string>} [headers]
 * @returns {Promise<string | null>}
 */
export function fetchHtml(query, headers = {}) {
  return fetchFragment(`${location.pathname}${query}`, headers);
}

/**
 * @param {string} html
 * @returns {HTMLElement | null}
 */
export function parseSection(html) {
  return new DOMParser().parseFromString(html, "text/html").getElementById("runs");
}

/**
 * @param {string} html rows of a table
 * @returns {HTMLTableRowElement[]}
 */
export function parseRows(html) {
  const template = create("template");
  template.innerHTML = `<table><tbody>${html}</tbody></table>`;
  return findAll(template.content, "tr", HTMLTableRowElement);
}

/** Announces to the other modules that rows have been replaced. */
export function announceRows() {
  fitWidths();
  document.body.dispatchEvent(new Event("htmx:afterSettle"));
  document.dispatchEvent(new Event("runs-changed"));
}

/**
 * The address of the table as it stands, with some of it changed; the first page, unless a page is among the changes.
 * @param {Changes} changes
 * @returns {string}
 */
export function queryWith({ page, ...changes }) {
  const query = currentQuery();
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of [value ?? []].flat()) if (one !== "") query.append(name, one);
  }
  query.delete("page");
  if (page) query.set("page", String(page));
  return `?${query.size ? query : FIRST_PAGE}`;
}

/**
 * The address of the table with a value added to a list of it, or taken out.
 * @param {string} name
 * @param {string} value
 * @returns {string}
 */
export function queryToggling(name, value) {
  const all = currentQuery().getAll(name);
  return queryWith({ [name]: all.includes(value) ? all.filter((one) => one !== value) : [...all, value] });
}

/** @param {string} query As the server writes it: parentheses stay readable, and defaults are left out. */
function shortQuery(query) {
  const page = new URLSearchParams(query).get("page");
  return (tableSection().dataset.state ?? "") + (Number(page) > 1 ? `&page=${page}` : "");
}

/**
 * The row of the run that an element lies in.
 * @param {Element} element
 * @returns {string} the run's id
 */
export const runOfRow = (element) => element.closest("tr")?.dataset.run ?? "";

/** @returns {HTMLElement[]} Rows with the id of a run, those of groups that are open left out. */
export const runRows = () => findAll(required(document, "#runs"), "tr[data-run][id]");
