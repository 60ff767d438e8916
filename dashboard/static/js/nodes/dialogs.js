// Dialogs of a node's page. They stand outside of the parts that refresh, so that a refresh does not reset what was
// typed. Without a script the same addresses are pages of their own.
import { around, byId, closest, find, findAll, required } from "../shared/dom.js";

const actionDialog = byId("ask", HTMLDialogElement);
const actionBody = byId("ask-body");

/**
 * Opens the dialog of an action on the node, such as drain.
 * @param {string} address
 */
async function openAction(address) {
  await htmx.ajax("GET", address, { source: actionBody, target: actionBody, swap: "innerHTML" });
  if (!actionBody.firstElementChild) return;
  actionDialog.showModal();
  find(actionBody, "input:not([type=hidden])")?.focus();
}

/**
 * Opens the dialog that sets the health of a device.
 * @param {HTMLElement} button
 */
function openHealth({ dataset: { mark: address = "", name, health } }) {
  const dialog = byId("mark", HTMLDialogElement);
  const form = required(dialog, "form", HTMLFormElement);
  form.reset();
  form.action = address;
  form.setAttribute("hx-post", address);
  htmx.process(form);
  byId("mark-title").textContent = `Device ${name}`;
  for (const choice of findAll(form, "[name=health]", HTMLInputElement)) choice.checked = choice.value === health;
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = closest(event, "[data-ask]", HTMLAnchorElement);
  const deviceButton = closest(event, "[data-mark]");
  const closeButton = closest(event, "dialog [data-close]");
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    openAction(link.href);
  } else if (deviceButton) openHealth(deviceButton);
  else if (closeButton) {
    event.preventDefault();
    around(closeButton, "dialog", HTMLDialogElement)?.close();
  }
});

// A form that is refused comes back with its values and the reasons; one that is carried out closes its dialog.
document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.xhr.status === 204) around(detail.elt, "dialog", HTMLDialogElement)?.close();
});
