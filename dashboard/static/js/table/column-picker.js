// The choice of columns and groups: found by typing, ordered by drag or with Alt and the arrows.
import { address, show } from "./state.js";

const dialog = () => document.getElementById("picker");

export function listenToPicker() {
  document.addEventListener("click", ({ target }) => {
    const opener = target.closest("[data-open-picker]");
    if (opener) open(opener);
    const tab = target.closest("#picker [data-tab]");
    if (tab) turn(tab.dataset.tab);
    const drop = target.closest("#picker [data-drop]");
    if (drop) set(drop.closest("li").dataset.key, false);
    if (target.closest("#picker [data-usual]")) { dialog().close(); show(address({ col: null, group: null })); }
  });
  dialog().addEventListener("input", ({ target }) => { if (target.matches("[data-picker-find]")) find(target); });
  dialog().addEventListener("change", ({ target }) => {
    if (target.matches("[data-pane=columns] input[type=checkbox]")) set(target.value, target.checked, target.dataset.title);
    if (target.matches("[data-stat]")) changeStat(target);
    if (target.matches("input[name=group]")) limitGroups(target);
  });
  dialog().addEventListener("submit", (event) => { if (event.submitter?.value === "yes") apply(); });
  dialog().addEventListener("keydown", move);
  dialog().addEventListener("keydown", takeFirst);
  listenToDrag();
}

async function open(opener) {
  const answer = await fetch(`${opener.dataset.url}${address({})}`);
  if (!answer.ok) return;
  dialog().innerHTML = await answer.text();
  turn(opener.dataset.openPicker);
  dialog().showModal();
  dialog().querySelector("[data-pane]:not([hidden]) [data-picker-find]").focus();
}

function turn(name) {
  for (const tab of dialog().querySelectorAll("[data-tab]")) { tab.setAttribute("aria-selected", String(tab.dataset.tab === name)); tab.setAttribute("aria-pressed", String(tab.dataset.tab === name)); }
  for (const pane of dialog().querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== name;
}

function find(input) {
  const words = input.value.toLowerCase().split(/\s+/);
  for (const part of input.closest("[data-pane]").querySelectorAll("[data-section]")) {
    let seen = 0;
    for (const offer of part.querySelectorAll("[data-offer]")) {
      const text = `${offer.dataset.offer} ${offer.textContent}`.toLowerCase();
      offer.hidden = !words.every((word) => text.includes(word));
      seen += !offer.hidden;
    }
    part.hidden = !seen;
  }
}

const list = () => dialog().querySelector("[data-chosen-columns]");
const items = () => [...list().children];

function set(key, isWanted, title) {
  const there = items().find((item) => item.dataset.key === key);
  if (isWanted && !there) {
    const item = document.createElement("li");
    Object.assign(item, { draggable: true, tabIndex: 0 });
    item.dataset.key = key;
    const name = Object.assign(document.createElement("span"), { className: "clip", textContent: title ?? key });
    const drop = Object.assign(document.createElement("button"), { type: "button", className: "btn-quiet push", textContent: "×" });
    drop.dataset.drop = "";
    drop.setAttribute("aria-label", `Take ${title ?? key} away`);
    item.append(name, drop);
    list().append(item);
    item.scrollIntoView({ block: "nearest" });
  }
  if (!isWanted) {
    there?.remove();
    const box = [...dialog().querySelectorAll("[data-pane=columns] input[type=checkbox]")].find((one) => one.value === key);
    if (box) box.checked = false;
  }
}

// last(loss) becomes min(loss): another column, which may stand beside the first.
function changeStat(select) {
  const box = select.closest("label").querySelector("input");
  const inner = box.value.slice(box.value.indexOf("("));
  box.value = `${select.value}${inner}`;
  box.checked = true;
  set(box.value, true, select.value === "last" ? box.dataset.title : `${select.value} ${box.dataset.title}`);
}

function limitGroups(box) {
  const ticked = [...dialog().querySelectorAll("input[name=group]:checked")];
  if (ticked.length > 3) box.checked = false;
}

function apply() {
  const col = items().map((item) => item.dataset.key);
  const group = [...dialog().querySelectorAll("input[name=group]:checked")].map((box) => box.value);
  show(address({ col, group }));
}

// Enter in the search field takes the first that is found.
function takeFirst(event) {
  if (event.key !== "Enter" || !event.target.matches("[data-picker-find]")) return;
  event.preventDefault();
  event.target.closest("[data-pane]").querySelector("[data-section]:not([hidden]) [data-offer]:not([hidden]) input")?.click();
}

function move(event) {
  const item = event.target.closest("[data-chosen-columns] > li");
  if (!item) return;
  const by = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Delete") { event.preventDefault(); (item.nextElementSibling ?? item.previousElementSibling)?.focus(); set(item.dataset.key, false); }
  if (!by) return;
  event.preventDefault();
  const other = by < 0 ? item.previousElementSibling : item.nextElementSibling;
  if (!other) return;
  if (event.altKey) by < 0 ? other.before(item) : other.after(item);
  (event.altKey ? item : other).focus();
}

function listenToDrag() {
  let held = null;
  dialog().addEventListener("dragstart", (event) => { held = event.target.closest("[data-chosen-columns] > li"); held?.classList.add("is-held"); });
  dialog().addEventListener("dragover", (event) => {
    const over = event.target.closest("[data-chosen-columns] > li");
    if (!held || !over || over === held) return;
    event.preventDefault();
    const { left, width } = over.getBoundingClientRect();
    event.clientX < left + width / 2 ? over.before(held) : over.after(held);
  });
  dialog().addEventListener("dragend", () => { held?.classList.remove("is-held"); held = null; });
}
