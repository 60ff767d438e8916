// Short notices at the edge of the window, and the dialog that asks before something is done.
import { byId, create, required } from "./dom.js";
import { post } from "./requests.js";

const SHORT_MS = 4000;
const LONG_MS = 9000; // of failures, and of notices with a button

/**
 * Shows a notice for some seconds, with a button that takes the action back where `undo` says how.
 * @param {string} text
 * @param {Notice["tone"]} tone
 * @param {UndoRequest} [undo]
 */
export function showNotice(text, tone, undo) {
  const notice = create("div", { className: `notice is-${tone}`, textContent: text });
  if (undo) {
    const className = "btn btn-plain btn-tiny push";
    const button = create("button", { type: "button", className, textContent: "Undo" });
    button.addEventListener("click", () => {
      notice.remove();
      post(undo.path, undo.values);
    });
    notice.append(button);
  }
  required(document, ".toasts").append(notice);
  setTimeout(() => notice.remove(), tone === "good" && !undo ? SHORT_MS : LONG_MS);
}

/**
 * Asks a question in the dialog of the page; true once the answer is yes.
 * @param {string} question
 * @param {string} accept text of the button that answers yes: the action, as in "Cancel job"
 * @param {string} [decline] text of the other button
 * @returns {Promise<boolean>}
 */
export function confirmed(question, accept, decline = "Cancel") {
  const dialog = byId("confirm", HTMLDialogElement);
  byId("confirm-text").textContent = question;
  required(dialog, "[value=yes]").textContent = accept;
  required(dialog, "[value=no]").textContent = decline;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/**
 * Posts values once the person has confirmed it.
 * @param {string} question
 * @param {string} path
 * @param {Record<string, string>} values
 * @param {string} accept
 * @param {string} [decline]
 */
export async function confirmAndPost(question, path, values, accept, decline) {
  if (await confirmed(question, accept, decline)) post(path, values);
}
