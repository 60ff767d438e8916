// Keys of every page: rows of a list, the search field, and the list of keys itself.
import { byId, find, findAll } from "./dom.js";

const ROWS = "[data-rows] > tr";
const help = byId("keys", HTMLDialogElement);

/** @returns {HTMLElement | null} The row that holds the focus. */
const focusedRow = () => document.activeElement?.closest(ROWS) ?? null;

/** @param {1 | -1} by */
function focusRow(by) {
  const rows = findAll(document, ROWS);
  if (!rows.length) return;
  const row = focusedRow();
  const current = row ? rows.indexOf(row) : -1;
  const last = rows.length - 1;
  const next = current < 0 ? (by > 0 ? 0 : last) : Math.min(last, Math.max(0, current + by));
  find(rows[next], ".title")?.focus(/** @type {FocusOptions} */ ({ focusVisible: true }));
  rows[next].scrollIntoView({ block: "nearest" });
}

/**
 * What each key does; false where it does nothing, so that the browser's own use of the key goes on. Arrows move
 * between rows only once a row has the focus: before that they scroll the page.
 * @type {Record<string, () => unknown>}
 */
const ACTIONS = {
  "?": () => help.showModal(),
  "/": () => find(document, "input[type=search]")?.focus(),
  j: () => focusRow(1),
  k: () => focusRow(-1),
  ArrowDown: () => (focusedRow() ? focusRow(1) : false),
  ArrowUp: () => (focusedRow() ? focusRow(-1) : false),
  x: () => {
    const row = focusedRow();
    return (row && find(row, "input[type=checkbox]")?.click()) ?? false;
  },
  c: () => document.dispatchEvent(new Event("compare-chosen")),
};

/**
 * Runs the action of a key, unless the person is typing or in a dialog.
 * @param {Record<string, () => unknown>} actions
 */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isTyping = "textarea, select, dialog[open], input:not([type=checkbox])";
    if (event.target instanceof Element && event.target.closest(isTyping)) return;
    const action = actions[event.key];
    if (action && action() !== false) event.preventDefault();
  });
}

/** Starts the keys that every page has. */
export function startKeyboard() {
  listenToKeys(ACTIONS);
  for (const button of findAll(document, "[data-keys]")) button.addEventListener("click", () => help.showModal());
}
