// The choice of columns and groups: found by typing, ordered by drag or with Alt and the arrows.
import { around, byId, closest, create, find, findAll, required } from "../shared/dom.js";
import { fetchFragment } from "../shared/requests.js";
import { queryWith, showTable } from "./section.js";

const MAX_GROUPS = 3;
const COLUMN_BOXES = "[data-pane=columns] input[type=checkbox]";
const CHOSEN = "[data-chosen-columns] > li";

const dialog = byId("picker", HTMLDialogElement);
const chosenList = () => required(dialog, "[data-chosen-columns]");
const chosenItems = () => findAll(chosenList(), ":scope > li");
const columnBoxes = () => findAll(dialog, COLUMN_BOXES, HTMLInputElement);

export function startColumnPicker() {
  document.addEventListener("click", onClick);
  dialog.addEventListener("input", ({ target }) => {
    if (target instanceof HTMLInputElement && target.matches("[data-picker-find]")) showFound(target);
  });
  dialog.addEventListener("change", ({ target }) => onChange(target));
  dialog.addEventListener("submit", ({ submitter }) => {
    if (submitter instanceof HTMLButtonElement && submitter.value === "yes") apply();
  });
  dialog.addEventListener("keydown", onChosenKey);
  dialog.addEventListener("keydown", onFindKey);
  listenToDrag();
}

/** @param {MouseEvent} event */
function onClick(event) {
  const opener = closest(event, "[data-open-picker]");
  if (opener) open(opener);
  const tab = closest(event, "#picker [data-tab]");
  if (tab) showPane(tab.dataset.tab ?? "");
  const dropped = around(closest(event, "#picker [data-drop]"), "li");
  if (dropped) removeColumn(dropped.dataset.key ?? "");
  if (closest(event, "#picker [data-usual]")) {
    dialog.close();
    showTable(queryWith({ col: null, group: null }));
  }
}

/** @param {EventTarget | null} target */
function onChange(target) {
  if (target instanceof HTMLSelectElement && target.matches("[data-stat]")) changeStatistic(target);
  if (!(target instanceof HTMLInputElement)) return;
  if (target.matches(COLUMN_BOXES)) {
    if (target.checked) addColumn(target.value, target.dataset.title);
    else removeColumn(target.value);
  }
  if (target.matches("input[name=group]")) limitGroups(target);
}

/** @param {HTMLElement} opener */
async function open(opener) {
  const html = await fetchFragment(`${opener.dataset.url}${queryWith({})}`);
  if (html === null) return;
  dialog.innerHTML = html;
  showPane(opener.dataset.openPicker ?? "");
  dialog.showModal();
  find(dialog, "[data-pane]:not([hidden]) [data-picker-find]")?.focus();
}

/** @param {string} name */
function showPane(name) {
  for (const tab of findAll(dialog, "[data-tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    tab.setAttribute("aria-pressed", String(tab.dataset.tab === name));
  }
  for (const pane of findAll(dialog, "[data-pane]")) pane.hidden = pane.dataset.pane !== name;
}

/** @param {HTMLInputElement} field Shows the offers that have all words of its text. */
function showFound(field) {
  const words = field.value.toLowerCase().split(/\s+/);
  for (const section of findAll(paneOf(field), "[data-section]")) {
    const offers = findAll(section, "[data-offer]");
    for (const offer of offers) {
      const text = `${offer.dataset.offer} ${offer.textContent}`.toLowerCase();
      offer.hidden = !words.every((word) => text.includes(word));
    }
    section.hidden = offers.every((offer) => offer.hidden);
  }
}

/** @param {Element} element */
const paneOf = (element) => around(element, "[data-pane]") ?? dialog;

/** @param {string} key @param {string} [title] */
function addColumn(key, title = key) {
  if (chosenItems().some((item) => item.dataset.key === key)) return;
  const drop = create("button", { type: "button", className: "btn-quiet push", textContent: "×" });
  drop.dataset.drop = "";
  drop.setAttribute("aria-label", `Take ${title} away`);
  const name = create("span", { className: "clip", textContent: title });
  const item = create("li", { draggable: true, tabIndex: 0 }, name, drop);
  item.dataset.key = key;
  chosenList().append(item);
  item.scrollIntoView({ block: "nearest" });
}

/** @param {string} key */
function removeColumn(key) {
  chosenItems().find((item) => item.dataset.key === key)?.remove();
  const box = columnBoxes().find((one) => one.value === key);
  if (box) box.checked = false;
}

/** @param {HTMLSelectElement} select last(loss) becomes min(loss): another column, which may be shown beside it. */
function changeStatistic(select) {
  const box = required(around(select, "label") ?? dialog, "input", HTMLInputElement);
  const metric = box.value.slice(box.value.indexOf("("));
  const { title = "" } = box.dataset;
  box.value = `${select.value}${metric}`;
  box.checked = true;
  addColumn(box.value, select.value === "last" ? title : `${select.value} ${title}`);
}

/** @param {HTMLInputElement} box */
function limitGroups(box) {
  if (findAll(dialog, "input[name=group]:checked").length > MAX_GROUPS) box.checked = false;
}

function apply() {
  const col = chosenItems().map((item) => item.dataset.key ?? "");
  const group = findAll(dialog, "input[name=group]:checked", HTMLInputElement).map((box) => box.value);
  showTable(queryWith({ col, group }));
}

/** @param {KeyboardEvent} event Enter in the search field takes the first offer that is found. */
function onFindKey(event) {
  const field = closest(event, "[data-picker-find]");
  if (event.key !== "Enter" || !field) return;
  event.preventDefault();
  find(paneOf(field), "[data-section]:not([hidden]) [data-offer]:not([hidden]) input")?.click();
}

/** @param {KeyboardEvent} event Arrows go from column to column, with Alt they move one; Delete removes it. */
function onChosenKey(event) {
  const item = closest(event, CHOSEN);
  if (!item) return;
  const isBack = event.key === "ArrowUp" || event.key === "ArrowLeft";
  const isForward = event.key === "ArrowDown" || event.key === "ArrowRight";
  const [previous, next] = [item.previousElementSibling, item.nextElementSibling];
  if (event.key === "Delete") {
    event.preventDefault();
    focus(next ?? previous);
    removeColumn(item.dataset.key ?? "");
  }
  if (!isBack && !isForward) return;
  event.preventDefault();
  const other = isBack ? previous : next;
  if (!other) return;
  if (event.altKey && isBack) other.before(item);
  else if (event.altKey) other.after(item);
  focus(event.altKey ? item : other);
}

/** @param {Element | null} element */
function focus(element) {
  if (element instanceof HTMLElement) element.focus();
}

function listenToDrag() {
  /** @type {HTMLElement | null} */
  let dragged = null;
  dialog.addEventListener("dragstart", (event) => {
    dragged = closest(event, CHOSEN);
    dragged?.classList.add("is-held");
  });
  dialog.addEventListener("dragover", (event) => {
    const over = closest(event, CHOSEN);
    if (!dragged || !over || over === dragged) return;
    event.preventDefault();
    const { left, width } = over.getBoundingClientRect();
    if (event.clientX < left + width / 2) over.before(dragged);
    else over.after(dragged);
  });
  dialog.addEventListener("dragend", () => {
    dragged?.classList.remove("is-held");
    dragged = null;
  });
}
