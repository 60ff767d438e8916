// The table's address is its state: parts are fetched and put in place without losing focus or scroll.
import { say } from "../app.js";
import { fitWidths } from "./column-widths.js";

export const section = () => document.getElementById("runs");
let asked = 0;

// Shows the table of another address. A filter that cannot be understood leaves the table as it is.
export async function show(query, { keep = false } = {}) {
  const mine = ++asked;
  const answer = await fetch(`${location.pathname}${query || "?page=1"}`, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (mine !== asked) return false;
  if (!answer?.ok) { say("The server does not answer. The table is as it was.", "bad"); return false; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("runs");
  const refusal = fresh.querySelector("[data-refusal]");
  document.dispatchEvent(new CustomEvent("filter-refused", { detail: refusal?.dataset ?? null }));
  if (refusal && section()) return false;
  const focused = document.activeElement?.id;
  const scrolled = document.querySelector("[data-scroller]")?.scrollLeft ?? 0;
  section().replaceWith(fresh);
  const scroller = document.querySelector("[data-scroller]");
  if (scroller) scroller.scrollLeft = scrolled;
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (!keep) history.pushState(null, "", `${location.pathname}${plain(query)}`);
  document.dispatchEvent(new Event("runs-shown"));
  changed();
  return true;
}

// Tells the other parts that rows have been replaced.
export function changed() {
  fitWidths();
  document.body.dispatchEvent(new Event("htmx:afterSettle"));
  document.dispatchEvent(new Event("runs-changed"));
}

// The address of the table as it stands, with some of it changed: a value, a list, or null to take it out.
export function address(changes) {
  const query = new URLSearchParams(section().dataset.state.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of [value ?? []].flat()) if (one !== "") query.append(name, one);
  }
  query.delete("page");
  if ("page" in changes && changes.page) query.set("page", changes.page);
  return `?${query.size ? query : "page=1"}`;
}

// As the server writes it: parentheses stay readable, and what is as usual is left out.
function plain(query) {
  const page = new URLSearchParams(query).get("page");
  return section().dataset.state + (Number(page) > 1 ? `&page=${page}` : "");
}

export function toggled(name, value) {
  const all = new URLSearchParams(section().dataset.state.slice(1)).getAll(name);
  return address({ [name]: all.includes(value) ? all.filter((one) => one !== value) : [...all, value] });
}

export function parsedRows(html) {
  const body = document.createElement("template");
  body.innerHTML = `<table><tbody>${html}</tbody></table>`;
  return [...body.content.querySelectorAll("tr")];
}
