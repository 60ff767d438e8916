// What every page does: theme, menus, questions, short notices, ages, and the live connection.
import { ago } from "./format.js";
import { listenToKeys } from "./keys.js";
import { listen } from "./live.js";

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

export function say(text, tone) {
  const notice = document.createElement("div");
  notice.className = `notice is-${tone}`;
  notice.textContent = text;
  document.querySelector(".toasts").append(notice);
  setTimeout(() => notice.remove(), tone === "good" ? 4000 : 9000);
}

document.body.addEventListener("said", ({ detail }) => say(detail.text, detail.tone));
document.body.addEventListener("htmx:sendError", () => say("The server does not answer. Nothing was changed.", "bad"));
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status !== 409) say(`The server refused this (${detail.xhr.status}).`, "bad");
});

document.body.addEventListener("htmx:confirm", (event) => {
  const { question, path, elt } = event.detail;
  if (!question) return;
  event.preventDefault();
  const values = elt instanceof HTMLFormElement ? Object.fromEntries(new FormData(elt)) : {};
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "";
  // A live list may have replaced the row meanwhile, and htmx sends nothing for an element that has left the page: so
  // the answer is sent from the body, with what the form held when it was asked.
  const send = () => dialog.returnValue === "yes" && htmx.ajax("POST", path, { source: document.body, swap: "none", values });
  dialog.addEventListener("close", send, { once: true });
  dialog.showModal();
});

function tellAges() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const date = new Date(time.dateTime);
    time.textContent = ago(date);
    time.title = date.toLocaleString([], { dateStyle: "medium", timeStyle: "long" });
  }
}
tellAges();
setInterval(tellAges, 10_000);
document.body.addEventListener("htmx:afterSettle", tellAges);

listenToKeys();
listen();
