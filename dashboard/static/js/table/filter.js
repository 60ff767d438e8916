// The filter's input: completion of names and values by the server, and a mark at what cannot be understood.
import { address, section, show } from "./state.js";

const WAIT_MS = 180; // once nothing more is offered
const UNSURE_MS = 900; // while half a name may stand there: it would find nothing, and the table would flicker
let input, list, problem, place, waiting, start, items = [], chosen = -1, turn = 0;

export function listenToFilter() {
  input = document.querySelector("[data-filter] input");
  list = document.getElementById("filter-offers");
  problem = document.getElementById("filter-problem");
  place = document.querySelector("[data-filter]").dataset.complete;
  input.addEventListener("input", () => { later(UNSURE_MS); offer(); });
  input.addEventListener("focus", () => { if (!input.value) offer(); });
  input.addEventListener("click", offer);
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.addEventListener("keydown", press);
  list.addEventListener("mousedown", (event) => {
    const item = event.target.closest("li");
    if (item) { event.preventDefault(); take(Number(item.dataset.at)); }
  });
  input.form.addEventListener("submit", (event) => { event.preventDefault(); close(); clearTimeout(waiting); apply(); });
  document.addEventListener("filter-refused", ({ detail }) => refuse(detail));
  document.addEventListener("runs-shown", () => { if (document.activeElement !== input) input.value = section().dataset.filterNow; });
  const first = section().querySelector("[data-refusal]");
  if (first) refuse(first.dataset);
}

function later(wait) {
  clearTimeout(waiting);
  waiting = setTimeout(apply, wait);
}

function apply() {
  if (input.value.trim() !== section().dataset.filterNow || !problem.hidden) show(address({ filter: input.value.trim() || null }));
}

function refuse(what) {
  problem.hidden = !what;
  input.toggleAttribute("aria-invalid", Boolean(what));
  problem.textContent = "";
  if (!what) return;
  const text = input.value.trim() || section().dataset.filterNow;
  const [from, to] = [Number(what.start), Number(what.end)];
  const mark = document.createElement("mark");
  mark.textContent = text.slice(from, to) || "␣";
  const said = document.createElement("code");
  said.append(text.slice(0, from), mark, text.slice(to));
  problem.append(said, ` ${what.sentence}`);
}

async function offer() {
  const mine = ++turn;
  const caret = input.selectionStart ?? input.value.length;
  const answer = await fetch(`${place}?${new URLSearchParams({ text: input.value.slice(0, caret) })}`).catch(() => null);
  if (!answer?.ok || mine !== turn || document.activeElement !== input) return;
  ({ start, items } = await answer.json());
  const typed = input.value.slice(start, caret);
  if (items.length === 1 && items[0].text === typed) items = [];
  chosen = -1;
  if (!typed || !items.length) later(WAIT_MS);
  draw();
}

function draw() {
  list.hidden = !items.length;
  input.setAttribute("aria-expanded", String(items.length > 0));
  list.replaceChildren(...items.map((item, at) => {
    const row = document.createElement("li");
    Object.assign(row, { id: `offer-${at}`, role: "option" });
    row.dataset.at = at;
    row.setAttribute("aria-selected", String(at === chosen));
    const said = document.createElement("b");
    said.textContent = item.text;
    const more = document.createElement("small");
    more.textContent = [item.meaning || item.kind, item.num_runs === null ? "" : `${item.num_runs.toLocaleString("en")} runs`].filter(Boolean).join(" · ");
    row.append(said, more);
    return row;
  }));
  const here = list.children[chosen];
  here?.scrollIntoView({ block: "nearest" });
  if (here) input.setAttribute("aria-activedescendant", here.id); else input.removeAttribute("aria-activedescendant");
}

function press(event) {
  if (event.key === "Escape" && !list.hidden) { event.preventDefault(); event.stopPropagation(); close(); return; }
  if (event.key === "Escape") { input.blur(); return; }
  if (event.key === " " && event.ctrlKey) { event.preventDefault(); offer(); return; }
  if (list.hidden || !items.length) return;
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) { event.preventDefault(); chosen = (chosen + by + items.length) % items.length; draw(); }
  else if (event.key === "Tab" && !event.shiftKey) { event.preventDefault(); take(Math.max(0, chosen)); }
  else if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); take(chosen); }
}

// A name or a word goes in with a space behind it, so that the next thing can be typed at once.
function take(at) {
  const caret = input.selectionStart ?? input.value.length;
  const { text } = items[at];
  const said = text + (text.endsWith("(") || text.endsWith(":") ? "" : " ");
  input.setRangeText(said, start, caret, "end");
  clearTimeout(waiting);
  later(WAIT_MS);
  offer();
}

function close() {
  turn += 1;
  items = [];
  draw();
}
