// The submit page: keeps the fields and the YAML of a spec in step while either is edited, and has the server check it.
/** @import { Problem } from "./problems.js" */
/** @import { Values } from "./spec-fields.js" */
import { byId, closest, findAll, readJson, required } from "../shared/dom.js";
import { keepDraft, startDraft } from "./draft.js";
import { showProblems, showVerdict } from "./problems.js";
import { currentValues, fillFields, form, isSpecControl, toggleMore } from "./spec-fields.js";
import { numberLines, startYamlEditor, yaml } from "./yaml-editor.js";

/** @typedef {"fields" | "yaml"} Source The side that was edited last: it counts, and the other follows. */

/**
 * What the server answers about a spec; parts that have not changed are left out.
 * @typedef {object} CheckAnswer
 * @property {Problem[]} problems
 * @property {string} note why the YAML was left as it is
 * @property {Values} [values]
 * @property {string} [yaml]
 * @property {string} [plan] HTML, as are sweep and differs
 * @property {string} [sweep]
 * @property {string} [differs]
 */

const WAIT_MS = 300; // after the last key
const MAX_BYTES = 64 * 1024;
const MAX_SWEEP_ROWS = 8; // that the server takes
const sourceInput = required(form, "[name=source]", HTMLInputElement);
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let lastCheck = 0; // answers to older checks are dropped

const currentSource = () => /** @type {Source} */ (sourceInput.value);

/** @param {Source} source */
function checkSoon(source) {
  sourceInput.value = source;
  clearTimeout(timer);
  timer = setTimeout(() => {
    keepDraft();
    check(source);
  }, WAIT_MS);
  showVerdict("Checking…");
}

/** @param {Source} source */
async function check(source) {
  lastCheck += 1;
  const current = lastCheck;
  numberLines();
  const size = new Blob([yaml.value]).size;
  if (size > MAX_BYTES) {
    const message = `The spec is ${format(size)} bytes; the limit is ${format(MAX_BYTES)}.`;
    show({ problems: [{ field: "", message, fix: {}, line: null }], note: "" }, source);
    return;
  }
  try {
    const request = { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } };
    const answer = await (await fetch(form.dataset.check ?? "", request)).json();
    if (current === lastCheck) show(answer, source);
  } catch {
    if (current === lastCheck) showVerdict("The server does not answer; nothing was checked.");
  }
}

/** @param {number} count */
const format = (count) => count.toLocaleString("en");

/** @param {CheckAnswer} answer @param {Source} source */
function show(answer, source) {
  if (source === "yaml" && answer.values) fillFields(answer.values);
  const isNewYaml = answer.yaml !== undefined && answer.yaml !== yaml.value;
  if (source === "fields" && answer.yaml !== undefined && isNewYaml) yaml.value = answer.yaml;
  if (answer.plan !== undefined) showPlan(answer.plan);
  if (answer.sweep !== undefined) byId("sweep-preview").innerHTML = answer.sweep;
  if (answer.differs !== undefined) byId("differs").innerHTML = answer.differs;
  const note = byId("yaml-note");
  note.hidden = !answer.note;
  required(note, "span").textContent = answer.note ?? "";
  showProblems(answer.problems, applyValues);
}

/** @param {string} html Replaces the plan; the focus stays in the same control. */
function showPlan(html) {
  const plan = byId("plan");
  const focused = plan.contains(document.activeElement) ? document.activeElement?.getAttribute("name") : null;
  plan.innerHTML = html;
  if (focused) findAll(plan, `[name="${CSS.escape(focused)}"]`)[0]?.focus();
}

/** @param {Values} values Are put into the fields. */
function applyValues(values) {
  fillFields({ ...currentValues(), ...values });
  checkSoon("fields");
}

/** One more row of a sweep, as the last one but empty. */
function addSweepRow() {
  const rows = findAll(form, ".sweep-row");
  const last = rows[rows.length - 1];
  const row = /** @type {HTMLElement} */ (last.cloneNode(true));
  for (const input of findAll(row, "[name]")) {
    if (!(input instanceof HTMLInputElement || input instanceof HTMLSelectElement)) continue;
    input.name = input.name.replace(/\d+$/, String(rows.length));
    input.value = "";
  }
  last.after(row);
  byId("sweep-more").hidden = rows.length + 1 >= MAX_SWEEP_ROWS;
}

form.addEventListener("input", ({ target }) => {
  if (target === yaml) checkSoon("yaml");
  else if (isSpecControl(target)) checkSoon("fields");
  else if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) {
    // The plan's and the sweep's fields ask only; the team decides what a pool allows.
    if (/^(plan\.|sweep\.|team$)/.test(target.name)) checkSoon(currentSource());
  }
});
form.addEventListener("click", (event) => {
  const more = closest(event, "[data-more]");
  if (more) toggleMore(more);
});
byId("differs").addEventListener("click", (event) => {
  const undo = closest(event, "[data-undo]");
  if (undo) applyValues({ [undo.dataset.undo ?? ""]: undo.dataset.text ?? "" });
});
// A plan that fits, or a better one, is put into the fields.
byId("plan").addEventListener("click", (event) => {
  const use = closest(event, "[data-fill]");
  if (use) applyValues(JSON.parse(use.dataset.fill ?? "{}"));
});
byId("sweep-more").addEventListener("click", addSweepRow);
byId("yaml-overwrite").addEventListener("click", () => {
  yaml.value = "";
  checkSoon("fields");
});

if (location.hash === "#sweep") byId("sweep-on", HTMLInputElement).checked = true;
startYamlEditor();
showProblems(readJson("problems"), applyValues);
startDraft({ addRow: addSweepRow, checkAll: () => checkSoon(currentSource()) });
