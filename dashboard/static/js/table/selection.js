// Which runs are chosen: kept over pages, filters and refreshes; or all that match, however many.
import { section } from "./state.js";

export const chosen = new Set();
let isAll = false;
let bar;

export const choice = () => ({ ids: [...chosen], isAll, count: isAll ? Number(section().dataset.total) : chosen.size, filter: section().dataset.filterNow });

const boxes = () => [...document.querySelectorAll("#runs input[name=run]")];

export function listenToChoice() {
  bar = document.querySelector("[data-choose]");
  document.addEventListener("change", ({ target }) => {
    if (target.matches("#runs input[name=run]")) {
      isAll = false;
      target.checked ? chosen.add(target.value) : chosen.delete(target.value);
    } else if (target.matches("[data-tick-all]")) {
      isAll = false;
      for (const box of boxes()) target.checked ? chosen.add(box.value) : chosen.delete(box.value);
    } else return;
    count();
  });
  bar.querySelector("[data-clear]").addEventListener("click", clear);
  bar.querySelector("[data-choose-all]").addEventListener("click", () => { isAll = true; count(); });
  bar.addEventListener("submit", () => {
    bar.querySelectorAll("input[type=hidden]").forEach((unseen) => unseen.remove());
    const hidden = new Set(new URLSearchParams(section().dataset.state.slice(1)).getAll("hide"));
    for (const id of chosen) add("run", id);
    for (const id of hidden) if (chosen.has(id)) add("hide", id);
  });
  document.addEventListener("runs-shown", () => { isAll = false; });
  document.addEventListener("runs-changed", count);
  document.addEventListener("compare-chosen", () => chosen.size && bar.requestSubmit());
  for (const box of boxes()) if (box.checked) chosen.add(box.value); // as the browser remembers them
  count();
}

function add(name, value) {
  const input = document.createElement("input");
  Object.assign(input, { type: "hidden", name, value });
  bar.append(input);
}

export function clear() {
  chosen.clear();
  isAll = false;
  count();
}

export function count() {
  const all = boxes();
  for (const box of all) {
    box.checked = isAll || chosen.has(box.value);
    box.closest("tr").classList.toggle("is-chosen", box.checked);
  }
  bar.querySelector("[data-compare]").hidden = isAll; // a chart of thousands is none
  const head = document.querySelector("[data-tick-all]");
  const ticked = all.filter((box) => box.checked).length;
  if (head) { head.checked = all.length > 0 && ticked === all.length; head.indeterminate = ticked > 0 && ticked < all.length; }
  bar.hidden = !chosen.size && !isAll;
  bar.querySelector("[data-chosen]").textContent = choice().count.toLocaleString("en");
  const total = Number(section().dataset.total);
  const more = bar.querySelector("[data-choose-all]");
  more.hidden = isAll || !all.length || ticked < all.length || total <= all.length;
  more.textContent = `Choose all ${total.toLocaleString("en")} that match`;
  const word = bar.querySelector("[data-archive-word]");
  if (word) word.textContent = section().dataset.filterNow.includes("is:archived") ? "Restore" : "Archive";
}
