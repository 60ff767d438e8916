// Moves of waiting jobs: by dragging the grip of a row, by Alt and the arrows, or from the row's menu.
import { ask, send } from "../app.js";

const EDGE_PX = 70; // so near the upper or lower edge a drag scrolls the page
const menu = document.getElementById("row-menu");
const MOVES = { ArrowUp: "up", ArrowDown: "down", Home: "front", End: "back" };

const list = () => document.getElementById("queue");
const addressOf = (kind, id) => menu.dataset[kind].replace("/-/", `/${id}/`);
const move = (id, where, other = "") => send(addressOf("move", id), { where, other });

document.addEventListener("keydown", (event) => {
  const row = document.activeElement?.closest("[data-job]");
  if (!row || event.ctrlKey || event.metaKey) return;
  if (event.altKey && event.key in MOVES && row.dataset.line) move(row.dataset.job, MOVES[event.key]);
  else if (!event.altKey && event.key === "m") openMenu(row);
  else return;
  event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-menu]");
  if (button) openMenu(button.closest("[data-job]"));
});

// The menu stands outside of the list: what the list shows anew does not close it.
function openMenu(row) {
  const { job, name, priority, line } = row.dataset;
  menu.dataset.job = job;
  menu.dataset.name = name;
  document.getElementById("row-menu-title").textContent = name;
  for (const part of menu.querySelectorAll("[data-if]")) part.hidden = part.dataset.if === "move" ? !line : !("mayCancel" in row.dataset);
  for (const button of menu.querySelectorAll("[data-set-priority]")) button.setAttribute("aria-pressed", String(button.value === priority));
  menu.returnValue = "";
  menu.showModal();
}

menu.addEventListener("close", () => {
  const { returnValue: chosen } = menu;
  const { job, name } = menu.dataset;
  if (chosen === "cancel") ask(`Cancel ${name}? It leaves the queue and keeps its run.`, addressOf("cancel", job), {});
  else if (chosen === "pause") send(addressOf("pause", job), {});
  else if (["low", "normal", "high"].includes(chosen)) send(addressOf("priority", job), { priority: chosen });
  else if (chosen) move(job, chosen);
});

// Dragging marks the gap under the pointer; nothing in the list moves before the server has said yes. Live news waits.
let drag = null;

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".grip");
  if (!grip || event.button) return;
  const row = grip.closest("[data-job]");
  drag = { row, gap: null, pointer: event.pointerId, y: event.clientY, scroll: requestAnimationFrame(scrollAtEdge) };
  list().dataset.held = "";
  row.classList.add("is-dragged");
  for (const one of rows()) one.classList.toggle("is-other-line", one.dataset.line !== row.dataset.line);
  event.preventDefault();
  grip.focus({ preventScroll: true });
});

document.addEventListener("pointermove", (event) => {
  if (drag?.pointer !== event.pointerId) return;
  drag.y = event.clientY;
  showGap();
});
document.addEventListener("pointerup", (event) => drag?.pointer === event.pointerId && drop());
document.addEventListener("pointercancel", () => drag && letGo());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drag) return;
  letGo();
  event.preventDefault();
});

const rows = () => [...list().querySelectorAll("tbody > tr[data-job], tbody > tr:not([data-job]):not(.queue-pool)")];
const line = () => rows().filter((row) => row.dataset.line === drag.row.dataset.line);

// Rows of other lines stand in between; a gap belongs to the row of the own line that comes next.
function showGap() {
  clearGap();
  const all = line();
  const next = all.find((row) => { const box = row.getBoundingClientRect(); return drag.y < box.top + box.height / 2; });
  const [where, other] = next ? ["before", next] : ["after", all.at(-1)];
  const isSame = other === drag.row || (where === "before" && all[all.indexOf(next) - 1] === drag.row);
  if (isSame) return;
  drag.gap = { where, other };
  other.classList.add(where === "before" ? "is-gap-before" : "is-gap-after");
}

function clearGap() {
  drag.gap?.other.classList.remove("is-gap-before", "is-gap-after");
  drag.gap = null;
}

function drop() {
  const { row, gap } = drag;
  const done = gap ? move(row.dataset.job, gap.where, gap.other.dataset.job) : null;
  letGo();
  return done;
}

function letGo() {
  clearGap();
  cancelAnimationFrame(drag.scroll);
  for (const row of rows()) row.classList.remove("is-dragged", "is-other-line");
  drag = null;
  delete list().dataset.held;
  document.dispatchEvent(new Event("released"));
}

function scrollAtEdge() {
  if (!drag) return;
  const by = drag.y < EDGE_PX ? drag.y - EDGE_PX : Math.max(0, drag.y - (innerHeight - EDGE_PX));
  if (by) { scrollBy(0, by / 4); showGap(); }
  drag.scroll = requestAnimationFrame(scrollAtEdge);
}
