// What people write on runs from the table: names in place, tags, colours, the archive; one run or all that are chosen.
import { say } from "../app.js";
import { choice, clear } from "./selection.js";
import { refreshRows } from "./live-rows.js";
import { address, section, show, toggled } from "./state.js";

const rowHere = () => document.activeElement?.closest("#runs tr[data-run]");

export async function post(path, values) {
  const headers = { ...JSON.parse(document.body.getAttribute("hx-headers")), "HX-Request": "true" };
  const answer = await fetch(path, { method: "POST", headers, body: new URLSearchParams(values) }).catch(() => null);
  if (!answer) { say("The server does not answer. Nothing was changed.", "bad"); return { isDone: false, sentence: "" }; }
  const { said } = JSON.parse(answer.headers.get("HX-Trigger") ?? "{}");
  return { isDone: answer.ok, sentence: answer.ok ? "" : await answer.text(), said };
}

export function listenToMarks() {
  document.addEventListener("click", ({ target }) => {
    const dot = target.closest("[data-colour]");
    if (dot && dot.closest("tr")?.hasAttribute("data-writable")) chooseColour(dot);
    const act = target.closest("[data-act]");
    if (act?.closest("[data-choose]")) ({ tag: tagChosen, archive: archiveChosen })[act.dataset.act]();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("textarea, select, dialog[open], input:not([type=checkbox])")) return;
    const act = KEYS[event.key];
    if (act && act() !== false) event.preventDefault();
  });
}

const KEYS = {
  e: () => { const row = rowHere(); return row?.hasAttribute("data-writable") ? rename(row) : false; },
  t: () => (choice().count || rowHere() ? tagChosen() : false),
  a: () => (choice().count || rowHere() ? archiveChosen() : false),
  p: () => toggle("pin"),
  h: () => toggle("hide"),
  X: () => { document.querySelector("[data-tick-all]")?.click(); },
  Escape: () => (choice().count ? clear() : false),
};

function toggle(name) {
  const row = rowHere();
  if (!row) return false;
  show(toggled(name, row.dataset.run));
}

function rename(row) {
  const link = row.querySelector(".title");
  const input = document.createElement("input");
  Object.assign(input, { className: "form-control form-control-sm rename", value: link.textContent, maxLength: 250 });
  input.setAttribute("aria-label", "New name");
  link.hidden = true;
  link.after(input);
  input.select();
  let isOver = false;
  const end = () => {
    if (isOver) return; // taking the field away blurs it, which ends it again
    isOver = true;
    link.hidden = false;
    link.focus({ preventScroll: true });
    input.remove();
  };
  input.addEventListener("keydown", async (event) => {
    event.stopPropagation();
    if (event.key === "Escape") end();
    if (event.key !== "Enter") return;
    event.preventDefault();
    const { isDone, sentence } = await post(`/runs/${row.dataset.run}/change/`, { name: input.value });
    if (!isDone) { say(sentence, "bad"); return; }
    link.textContent = input.value.trim();
    end();
  });
  input.addEventListener("blur", () => { if (input.value === link.textContent) end(); });
}

// What an act is upon: the chosen runs, else the row that is held.
function meant() {
  const { ids, isAll, count, filter } = choice();
  if (isAll) return { count, values: [["all", "1"], ["filter", filter]], ids: [] };
  const some = ids.length ? ids : rowHere() ? [rowHere().dataset.run] : [];
  return { count: some.length, values: some.map((id) => ["run", id]), ids: some };
}

const runs = (count) => `${count.toLocaleString("en")} run${count === 1 ? "" : "s"}`;

async function writable({ count, values, ids }) {
  if (ids.length) return count;
  const answer = await fetch(`/runs/count/?${new URLSearchParams(values)}`);
  return answer.ok ? (await answer.json()).count : count;
}

function tagChosen() {
  const upon = meant();
  if (!upon.count) return false;
  const dialog = document.getElementById("tag-dialog");
  const form = dialog.querySelector("form");
  const problem = form.querySelector("[data-tag-problem]");
  const dropped = new Set();
  problem.hidden = true;
  form.reset();
  form.querySelector("[data-tag-of]").textContent = `On ${runs(upon.count)}.`;
  writable(upon).then((count) => { form.querySelector("[data-tag-of]").textContent = `On ${runs(count)}.`; });
  const known = new Map([...document.querySelectorAll("#runs tr[data-run]")]
    .filter((row) => !upon.ids.length || upon.ids.includes(row.dataset.run))
    .flatMap((row) => [...row.querySelectorAll("[data-tag]")].map((chip) => [chip.dataset.tag, chip.dataset.value])));
  form.querySelector("[data-tag-list]").replaceChildren(...[...known].map(([key, value]) => chip(key, value, dropped)));
  form.querySelector("datalist").replaceChildren(...[...document.querySelectorAll("#runs [data-tag]")].map((one) => new Option(one.dataset.tag)));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const { isDone, sentence, said } = await post("/runs/many/tag/", [...upon.values, ["add", form.add.value], ["drop", [...dropped].join(",")]]);
    problem.hidden = isDone;
    problem.textContent = sentence;
    if (!isDone) return;
    dialog.close();
    say(said.text, said.tone);
    refreshRows();
  };
  dialog.showModal();
  form.add.focus();
}

function chip(key, value, dropped) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "chip is-tag", textContent: value ? `${key}=${value} ×` : `${key} ×`, title: "Take this tag off" });
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    dropped.has(key) ? dropped.delete(key) : dropped.add(key);
    button.setAttribute("aria-pressed", String(dropped.has(key)));
  });
  return button;
}

async function archiveChosen() {
  const upon = meant();
  if (!upon.count || !document.querySelector("[data-act=archive]")) return;
  const act = section().dataset.filterNow.includes("is:archived") ? "restore" : "archive";
  const number = await writable(upon);
  if (number > 1 && !(await asked(`${act === "archive" ? "Archive" : "Restore"} ${runs(number)}? Nothing is deleted: is:archived finds what is archived.`))) return;
  const { isDone, sentence, said } = await post(`/runs/many/${act}/`, upon.values);
  if (!isDone) { say(sentence, "bad"); return; }
  clear();
  say(said.text, said.tone, said.undo);
  show(address({}), { keep: true });
}

function asked(question) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function chooseColour(dot) {
  const dialog = document.getElementById("colour-dialog");
  const form = dialog.querySelector("form");
  const id = dot.closest("tr").dataset.run;
  const save = async (colour) => {
    dialog.close();
    const { isDone, sentence } = await post(`/runs/${id}/change/`, { colour });
    if (!isDone) say(sentence, "bad");
    refreshRows();
  };
  form.colour.value = dot.dataset.colour || "#2f5bd7";
  form.onsubmit = (event) => { event.preventDefault(); save(form.colour.value); };
  form.querySelector("[data-derived]").onclick = () => save("");
  dialog.showModal();
}
