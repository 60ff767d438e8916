// The draft of the submit form: kept in this browser while it is edited, offered when the person comes back.
import { byId, closest, find, required } from "../shared/dom.js";
import { formatAgo } from "../shared/format.js";
import { confirmed } from "../shared/notices.js";
import { parseJson } from "../shared/requests.js";
import { form } from "./spec-fields.js";

/**
 * @typedef {object} Draft
 * @property {string} origin key of the preset, template or run that the form began with
 * @property {string} address of the page
 * @property {string} at
 * @property {[string, string][]} entries names and values of the form
 */

const KEY = `fourwalls-draft-${form.dataset.person}`;
const LEFT_OUT = ["csrfmiddlewaretoken", "origin"];
const notice = byId("draft-notice");
const state = byId("draft-state");
const origin = required(form, "[name=origin]", HTMLInputElement).value;
let isChanged = false;

/** @returns {Draft | null} */
function readDraft() {
  const draft = parseJson(localStorage.getItem(KEY) ?? "{}");
  return Array.isArray(draft.entries) ? draft : null;
}

/** Keeps what the form holds now. */
export function keepDraft() {
  isChanged = true;
  const entries = [...new FormData(form)].flatMap(([name, value]) =>
    (typeof value === "string" && !LEFT_OUT.includes(name) ? [[name, value]] : []));
  const address = `${location.pathname}${location.search}`;
  try {
    localStorage.setItem(KEY, JSON.stringify({ origin, address, at: new Date().toISOString(), entries }));
    state.textContent = "Draft kept in this browser";
  } catch {
    state.textContent = "This browser keeps no draft";
  }
  notice.hidden = true;
}

function dropDraft() {
  isChanged = false;
  localStorage.removeItem(KEY);
  notice.hidden = true;
  state.textContent = "";
}

/**
 * Puts a draft into the form.
 * @param {Draft} draft
 * @param {() => void} addRow adds a row to the sweep
 */
function fillForm(draft, addRow) {
  const values = new Map(draft.entries);
  for (const name of values.keys()) {
    if (/^sweep\.(path|field|values)/.test(name) && !form.elements.namedItem(name)) addRow();
  }
  for (const control of form.elements) {
    if (control instanceof HTMLInputElement && control.type === "checkbox") {
      control.checked = values.has(control.name);
    } else if (control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement) {
      if (values.has(control.name)) control.value = values.get(control.name) ?? "";
    } else if (control instanceof HTMLSelectElement && values.has(control.name)) {
      const text = values.get(control.name) ?? "";
      if (![...control.options].some((option) => option.value === text)) control.add(new Option(text, text));
      control.value = text;
    }
  }
}

/** @param {Event} event */
async function askBeforeLeaving(event) {
  const link = closest(event, "a[href]", HTMLAnchorElement);
  const isPlain = event instanceof MouseEvent && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!link || !isPlain || !isChanged || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  const question = "Leave the form? Your draft is kept in this browser and offered when you come back.";
  if (await confirmed(question, "Leave page", "Keep editing")) location.assign(link.href);
}

/**
 * Offers the draft of an earlier visit, and asks before a link leaves a changed form.
 * @param {{ addRow: () => void, checkAll: () => void }} page
 */
export function startDraft({ addRow, checkAll }) {
  const draft = readDraft();
  document.addEventListener("click", askBeforeLeaving);
  form.addEventListener("submit", dropDraft);
  if ("isRefused" in form.dataset) keepDraft(); // what was posted is in the fields again
  else if (draft) {
    const what = draft.origin === origin ? "A draft" : `A draft that began with ${draft.origin.replace(":", " ")}`;
    required(notice, "span").textContent = `${what} from ${formatAgo(new Date(draft.at))} was not submitted.`;
    notice.hidden = false;
  }
  notice.addEventListener("click", (event) => {
    const action = closest(event, "[data-draft]")?.dataset.draft;
    if (action === "discard") dropDraft();
    if (action !== "open" || !draft) return;
    if (draft.origin !== origin) {
      sessionStorage.setItem(KEY, "open");
      location.assign(draft.address);
      return;
    }
    fillForm(draft, addRow);
    keepDraft();
    checkAll();
  });
  if (sessionStorage.getItem(KEY)) {
    sessionStorage.removeItem(KEY);
    find(notice, "[data-draft=open]")?.click();
  }
}
