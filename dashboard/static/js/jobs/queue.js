// Moves of waiting jobs: by dragging the grip of a row, by Alt and the arrows, or from the row's menu.
import { around, byId, closest, findAll } from "../shared/dom.js";
import { confirmAndPost } from "../shared/notices.js";
import { post } from "../shared/requests.js";
import { listenToDrag } from "./queue-drag.js";

/** @type {Record<string, string>} */
const MOVES = { ArrowUp: "up", ArrowDown: "down", Home: "front", End: "back" };
const PRIORITIES = ["low", "normal", "high"];
const menu = byId("row-menu", HTMLDialogElement);

/** @param {"move" | "priority" | "cancel" | "pause"} action @param {string} job */
const addressOf = (action, job) => (menu.dataset[action] ?? "").replace("/-/", `/${job}/`);

/** @param {string} job @param {string} where @param {string} [other] the job that it is put before or after */
const moveJob = (job, where, other = "") => post(addressOf("move", job), { where, other });

/**
 * Opens the menu of a row. It stands outside of the list, so that a refresh of the list does not close it.
 * @param {HTMLElement} row
 */
function openMenu(row) {
  const { job = "", name = "", priority, line, mayCancel } = row.dataset;
  menu.dataset.job = job;
  menu.dataset.name = name;
  byId("row-menu-title").textContent = name;
  for (const part of findAll(menu, "[data-if]")) {
    part.hidden = part.dataset.if === "move" ? !line : mayCancel === undefined;
  }
  for (const button of findAll(menu, "[data-set-priority]", HTMLButtonElement)) {
    button.setAttribute("aria-pressed", String(button.value === priority));
  }
  menu.returnValue = "";
  menu.showModal();
}

menu.addEventListener("close", () => {
  const { returnValue: choice } = menu;
  const { job = "", name } = menu.dataset;
  const question = `Cancel ${name}? It leaves the queue and keeps its run.`;
  if (choice === "cancel") confirmAndPost(question, addressOf("cancel", job), {}, "Cancel job", "Keep job");
  else if (choice === "pause") post(addressOf("pause", job), {});
  else if (PRIORITIES.includes(choice)) post(addressOf("priority", job), { priority: choice });
  else if (choice) moveJob(job, choice);
});

document.addEventListener("keydown", (event) => {
  const row = around(document.activeElement, "[data-job]");
  if (!row || event.ctrlKey || event.metaKey) return;
  if (event.altKey && event.key in MOVES && row.dataset.line) moveJob(row.dataset.job ?? "", MOVES[event.key]);
  else if (!event.altKey && event.key === "m") openMenu(row);
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const row = around(closest(event, "[data-menu]"), "[data-job]");
  if (row) openMenu(row);
});

listenToDrag(moveJob);
