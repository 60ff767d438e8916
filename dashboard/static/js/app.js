// The entry point of every page: theme, menus, notices, questions, ages of times, keys, and the live connection.
import { byId, closest, find, findAll } from "./shared/dom.js";
import { formatAgo, formatUntil } from "./shared/format.js";
import { startKeyboard } from "./shared/keyboard.js";
import { startLive } from "./shared/live.js";
import { startNavigation } from "./shared/navigation.js";
import { confirmAndPost, confirmed, showNotice } from "./shared/notices.js";
import { NO_ANSWER } from "./shared/requests.js";
import { startSearch } from "./shared/search.js";

const AGES_MS = 10_000;

// MLflow's client prints links to runs as MLflow's own pages have them.
const mlflowLink = location.hash.match(/^#\/experiments\/\d+(?:\/runs\/(\w+))?$/);
if (mlflowLink) location.replace(mlflowLink[1] ? `/runs/${mlflowLink[1]}/` : "/runs/");

for (const button of findAll(document, "[data-theme-set]")) {
  const choice = button.dataset.themeSet ?? "";
  const mark = () => {
    button.toggleAttribute("aria-current", document.documentElement.dataset.themeChoice === choice);
  };
  button.addEventListener("click", () => window.setTheme(choice));
  document.addEventListener("theme", mark);
  mark();
}

const openMenus = () => findAll(document, "details.menu[open]", HTMLDetailsElement);

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  }
  const copied = closest(event, "[data-copy]");
  if (copied) copyText(copied.dataset.copy ?? "");
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    find(menu, "summary")?.focus();
  }
});

/** @param {string} id The element whose text is copied. */
async function copyText(id) {
  await navigator.clipboard.writeText(byId(id).textContent ?? "");
  showNotice("Copied.", "good");
}

document.body.addEventListener("notice", ({ detail }) => showNotice(detail.text, detail.tone, detail.undo));
document.body.addEventListener("htmx:sendError", () => {
  showNotice(NO_ANSWER, "bad");
});
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  // A conflict brings its own notice.
  if (detail.xhr.status !== 409) showNotice(`The server refused this (${detail.xhr.status}).`, "bad");
});
document.body.addEventListener("htmx:confirm", (event) => {
  const { question, path, elt } = event.detail;
  if (!question) return;
  event.preventDefault();
  const values = elt instanceof HTMLFormElement ? Object.fromEntries(new FormData(elt)) : {};
  const { accept = "Confirm", decline } = elt instanceof HTMLElement ? elt.dataset : {};
  confirmAndPost(question, path, /** @type {Record<string, string>} */ (values), accept, decline);
});

/** @type {WeakSet<HTMLFormElement>} */
const agreed = new WeakSet();

// A form or a button with data-confirm asks before the form is sent.
document.addEventListener("submit", async (event) => {
  const { target: form, submitter } = event;
  if (!(form instanceof HTMLFormElement) || agreed.delete(form)) return;
  const asking = submitter?.dataset.confirm ? submitter : form;
  const { confirm: question, accept = "Confirm", decline } = asking.dataset;
  if (!question) return;
  event.preventDefault();
  if (!(await confirmed(question, accept, decline))) return;
  agreed.add(form);
  form.requestSubmit(submitter);
});

function updateAges() {
  for (const time of findAll(document, "time[data-ago], time[data-ahead]", HTMLTimeElement)) {
    const date = new Date(time.dateTime);
    time.textContent = "ago" in time.dataset ? formatAgo(date) : formatUntil(date);
    time.title = date.toLocaleString([], { dateStyle: "medium", timeStyle: "long" });
  }
}
updateAges();
setInterval(updateAges, AGES_MS);
document.body.addEventListener("htmx:afterSettle", updateAges);

startKeyboard();
startNavigation();
startSearch();
startLive();
