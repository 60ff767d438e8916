// Keys of every page: rows of a list, the search field, and the list of keys itself.
const help = document.getElementById("keys");
const rows = () => [...document.querySelectorAll("[data-rows] > tr")];
const rowHere = () => document.activeElement?.closest("[data-rows] > tr");

function go(by) {
  const all = rows();
  if (!all.length) return;
  const here = all.indexOf(rowHere());
  const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + by))];
  next.querySelector(".title").focus({ focusVisible: true });
  next.scrollIntoView({ block: "nearest" });
}

// Arrows move only once a row is held: before that they scroll the page.
const KEYS = {
  "?": () => help.showModal(),
  "/": () => document.querySelector("input[type=search]")?.focus(),
  j: () => go(1),
  k: () => go(-1),
  ArrowDown: () => (rowHere() ? go(1) : false),
  ArrowUp: () => (rowHere() ? go(-1) : false),
  x: () => rowHere()?.querySelector("input[type=checkbox]")?.click() ?? false,
  c: () => document.dispatchEvent(new Event("compare-chosen")),
};

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("textarea, select, dialog[open], input:not([type=checkbox])")) return;
    const act = KEYS[event.key];
    if (act && act() !== false) event.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-keys]")) button.addEventListener("click", () => help.showModal());
}
