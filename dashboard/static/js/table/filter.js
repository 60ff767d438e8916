// The filter's input: completion of names and values by the server, and a mark at what it does not understand.
import { byId, closest, create, find, required } from "../shared/dom.js";
import { currentFilter, queryWith, showTable, tableSection } from "./section.js";

const WAIT_MS = 180; // after the last key, once a term is complete
const UNSURE_MS = 900; // while half a name may have been typed: it finds nothing, and the table would flicker
const CLOSE_MS = 150; // after the input has lost the focus, so that a click on an offer still counts

/**
 * One offer of the completion.
 * @typedef {object} Offer
 * @property {string} text
 * @property {string} kind
 * @property {string} [meaning]
 * @property {number | null} num_runs
 */

const form = required(document, "[data-filter]", HTMLFormElement);
const input = required(form, "input", HTMLInputElement);
const list = byId("filter-offers");
const problem = byId("filter-problem");
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {Offer[]} */
let offers = [];
let offersFrom = 0; // where in the text the offers begin
let active = -1; // index of the active offer
let lastRequest = 0; // answers to older requests are dropped

export function startFilter() {
  input.addEventListener("input", () => {
    applyAfter(UNSURE_MS);
    complete();
  });
  input.addEventListener("focus", () => {
    if (!input.value) complete();
  });
  input.addEventListener("click", complete);
  input.addEventListener("blur", () => setTimeout(closeOffers, CLOSE_MS));
  input.addEventListener("keydown", onKey);
  list.addEventListener("mousedown", (event) => {
    const item = closest(event, "li");
    if (!item) return;
    event.preventDefault();
    accept(Number(item.dataset.index));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    closeOffers();
    clearTimeout(timer);
    apply();
  });
  document.addEventListener("filter-refused", ({ detail }) => showRefusal(detail));
  document.addEventListener("runs-shown", () => {
    if (document.activeElement !== input) input.value = currentFilter();
  });
  const refusal = find(tableSection(), "[data-refusal]");
  if (refusal) showRefusal(refusal.dataset);
}

/** @param {number} wait milliseconds */
function applyAfter(wait) {
  clearTimeout(timer);
  timer = setTimeout(apply, wait);
}

function apply() {
  const filter = input.value.trim();
  if (filter !== currentFilter() || !problem.hidden) showTable(queryWith({ filter: filter || null }));
}

/** @param {DOMStringMap | null} refusal null: the filter is understood */
function showRefusal(refusal) {
  problem.hidden = !refusal;
  input.toggleAttribute("aria-invalid", Boolean(refusal));
  problem.textContent = "";
  if (!refusal) return;
  const text = input.value.trim() || currentFilter();
  const [start, end] = [Number(refusal.start), Number(refusal.end)];
  const mark = create("mark", {}, text.slice(start, end) || "␣");
  problem.append(create("code", {}, text.slice(0, start), mark, text.slice(end)), ` ${refusal.sentence}`);
}

/** Asks the server what may come next, and offers it. */
async function complete() {
  lastRequest += 1;
  const current = lastRequest;
  const caret = input.selectionStart ?? input.value.length;
  const query = new URLSearchParams({ text: input.value.slice(0, caret) });
  const response = await fetch(`${form.dataset.complete}?${query}`).catch(() => null);
  if (!response?.ok || current !== lastRequest || document.activeElement !== input) return;
  const answer = await response.json();
  offers = answer.items;
  offersFrom = answer.start;
  const typed = input.value.slice(offersFrom, caret);
  if (offers.length === 1 && offers[0].text === typed) offers = [];
  active = -1;
  if (!typed || !offers.length) applyAfter(WAIT_MS);
  showOffers();
}

function showOffers() {
  list.hidden = !offers.length;
  input.setAttribute("aria-expanded", String(offers.length > 0));
  list.replaceChildren(...offers.map(offerItem));
  const current = list.children[active];
  current?.scrollIntoView({ block: "nearest" });
  if (current) input.setAttribute("aria-activedescendant", current.id);
  else input.removeAttribute("aria-activedescendant");
}

/** @param {Offer} offer @param {number} index */
function offerItem({ text, meaning, kind, num_runs: numRuns }, index) {
  const details = [meaning || kind, numRuns === null ? "" : `${numRuns.toLocaleString("en")} runs`];
  const item = create("li", { id: `offer-${index}`, role: "option" },
    create("b", {}, text), create("small", {}, details.filter(Boolean).join(" · ")));
  item.dataset.index = String(index);
  item.setAttribute("aria-selected", String(index === active));
  return item;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.key === "Escape" && list.hidden) {
    input.blur();
    return;
  }
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  if (event.key === "Escape") event.stopPropagation(); // it closes the offers and nothing else
  action();
}

/** @param {KeyboardEvent} event @returns {(() => void) | null} What a key does in the input. */
function actionOf({ key, ctrlKey, shiftKey }) {
  if (key === "Escape") return closeOffers;
  if (key === " " && ctrlKey) return complete;
  if (list.hidden || !offers.length) return null;
  if (key === "ArrowDown") return () => moveActive(1);
  if (key === "ArrowUp") return () => moveActive(-1);
  if (key === "Tab" && !shiftKey) return () => accept(Math.max(0, active));
  if (key === "Enter" && active >= 0) return () => accept(active);
  return null;
}

/** @param {1 | -1} by */
function moveActive(by) {
  active = (active + by + offers.length) % offers.length;
  showOffers();
}

/**
 * Puts an offer into the input, with a space behind a complete name or word, so that typing can go on at once.
 * @param {number} index
 */
function accept(index) {
  const caret = input.selectionStart ?? input.value.length;
  const { text } = offers[index];
  const isComplete = !text.endsWith("(") && !text.endsWith(":");
  input.setRangeText(isComplete ? `${text} ` : text, offersFrom, caret, "end");
  applyAfter(WAIT_MS);
  complete();
}

function closeOffers() {
  lastRequest += 1;
  offers = [];
  showOffers();
}
