// What every page does: theme, menus, questions, short notices, ages, and the live connection.
import { ago, ahead } from "./shared/format.js";
import { listenToKeys } from "./shared/keyboard.js";
import { listen } from "./shared/live.js";

// MLflow's client prints links to runs as MLflow's own pages have them.
const printed = location.hash.match(/^#\/experiments\/\d+(?:\/runs\/(\w+))?$/);
if (printed) location.replace(printed[1] ? `/runs/${printed[1]}/` : "/runs/");

for (const button of document.querySelectorAll("[data-theme-set]")) {
  const mark = () => button.toggleAttribute("aria-current", document.documentElement.dataset.themeChoice === button.dataset.themeSet);
  button.addEventListener("click", () => window.setTheme(button.dataset.themeSet));
  document.addEventListener("theme", mark);
  mark();
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const copied = event.target.closest("[data-copy]");
  if (copied) copy(copied);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

async function copy(button) {
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  say("Copied.", "good");
}

// `undo` is the address and the values that take back what was done.
export function say(text, tone, undo) {
  const notice = document.createElement("div");
  notice.className = `notice is-${tone}`;
  notice.textContent = text;
  if (undo) {
    const back = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-plain btn-tiny push", textContent: "Undo" });
    back.addEventListener("click", () => { notice.remove(); send(undo.path, undo.values); });
    notice.append(back);
  }
  document.querySelector(".toasts").append(notice);
  setTimeout(() => notice.remove(), tone === "good" && !undo ? 4000 : 9000);
}

// Sent from an element of its own: a live list may replace the row it is about, and htmx sends nothing for what has left
// the page; and of several requests that one element makes at once, htmx sends the first and the last.
export async function send(path, values) {
  const source = document.body.appendChild(document.createElement("i"));
  await htmx.ajax("POST", path, { source, swap: "none", values }).catch(() => {}); // what went wrong has been said
  source.remove();
}

export function ask(question, path, values) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => dialog.returnValue === "yes" && send(path, values), { once: true });
  dialog.showModal();
}

document.body.addEventListener("said", ({ detail }) => say(detail.text, detail.tone, detail.undo));
document.body.addEventListener("htmx:sendError", () => say("The server does not answer. Nothing was changed.", "bad"));
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status !== 409) say(`The server refused this (${detail.xhr.status}).`, "bad");
});

document.body.addEventListener("htmx:confirm", (event) => {
  const { question, path, elt } = event.detail;
  if (!question) return;
  event.preventDefault();
  ask(question, path, elt instanceof HTMLFormElement ? Object.fromEntries(new FormData(elt)) : {});
});

function tellAges() {
  for (const time of document.querySelectorAll("time[data-ago], time[data-ahead]")) {
    const date = new Date(time.dateTime);
    time.textContent = "ago" in time.dataset ? ago(date) : ahead(date);
    time.title = date.toLocaleString([], { dateStyle: "medium", timeStyle: "long" });
  }
}
tellAges();
setInterval(tellAges, 10_000);
document.body.addEventListener("htmx:afterSettle", tellAges);

listenToKeys();
listen();
