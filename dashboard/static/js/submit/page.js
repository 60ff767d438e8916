// Keeps the fields and the YAML of a spec in step while either is edited, and shows what the server says of it.
const WAIT_MS = 300;
const BYTES_LIMIT = 64 * 1024;

const form = document.getElementById("spec-form");
const yaml = document.getElementById("yaml");
const gutter = document.querySelector(".gutter");
const go = document.getElementById("go");
const verdict = document.getElementById("verdict");
const inputs = [...form.querySelectorAll("[data-field] input, [data-field] select")];
let timer = null;
let asked = 0; // the newest question; answers to older ones are dropped

form.addEventListener("input", (event) => {
  if (event.target === yaml) edited("yaml");
  else if (inputs.includes(event.target)) edited("fields");
  else if (event.target.name?.startsWith("plan.")) edited(form.elements.source.value); // asks only, changes nothing
  else if (event.target.name?.startsWith("sweep.")) edited(form.elements.source.value);
  else if (event.target.name === "team") edited(form.elements.source.value); // what a pool allows differs by team
});
document.getElementById("differs").addEventListener("click", ({ target }) => {
  const undo = target.closest("[data-undo]");
  if (!undo) return;
  fill({ ...current(), [undo.dataset.undo]: undo.dataset.text });
  edited("fields");
});
// A plan that fits, or a better one, is put into the fields.
document.getElementById("plan").addEventListener("click", ({ target }) => {
  const use = target.closest("[data-fill]");
  if (!use) return;
  fill({ ...current(), ...JSON.parse(use.dataset.fill) });
  edited("fields");
});
// One more row of a sweep, as the last one; the server takes eight.
const SWEEP_ROWS = 8;
document.getElementById("sweep-more").addEventListener("click", ({ currentTarget }) => {
  const rows = form.querySelectorAll(".sweep-row");
  const row = rows[rows.length - 1].cloneNode(true);
  for (const input of row.querySelectorAll("[name]")) {
    input.name = input.name.replace(/\d+$/, rows.length);
    input.value = "";
  }
  rows[rows.length - 1].after(row);
  currentTarget.hidden = rows.length + 1 >= SWEEP_ROWS;
});
form.addEventListener("click", ({ target }) => {
  const more = target.closest("[data-more]");
  if (!more) return;
  const isOpen = more.closest(".group").classList.toggle("is-open");
  more.setAttribute("aria-expanded", String(isOpen));
  more.textContent = isOpen ? "Less" : "More";
});
if (location.hash === "#sweep") document.getElementById("sweep-on").checked = true;
yaml.addEventListener("scroll", () => { gutter.scrollTop = yaml.scrollTop; });
document.getElementById("yaml-anew").addEventListener("click", () => { yaml.value = ""; edited("fields"); });

function edited(source) {
  form.elements.source.value = source;
  clearTimeout(timer);
  timer = setTimeout(() => check(source), WAIT_MS);
  verdict.textContent = "Checking…";
}

async function check(source) {
  const mine = ++asked;
  numberLines();
  const size = new Blob([yaml.value]).size;
  if (size > BYTES_LIMIT) {
    show({ problems: [{ field: "", message: `The spec is ${size.toLocaleString("en")} bytes; the limit is ${BYTES_LIMIT.toLocaleString("en")}.`, fix: {}, line: null }], note: "" });
    return;
  }
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
    const said = await answer.json();
    if (mine === asked) show(said, source);
  } catch {
    if (mine === asked) verdict.textContent = "The server does not answer; nothing was checked.";
  }
}

function show(said, source) {
  if (source === "yaml" && said.values) fill(said.values);
  if (source === "fields" && said.yaml !== undefined && said.yaml !== yaml.value) yaml.value = said.yaml;
  if (said.plan !== undefined) showPlan(said.plan);
  if (said.sweep !== undefined) document.getElementById("sweep-preview").innerHTML = said.sweep;
  if (said.differs !== undefined) document.getElementById("differs").innerHTML = said.differs;
  const note = document.getElementById("yaml-note");
  note.hidden = !said.note;
  note.querySelector("span").textContent = said.note ?? "";
  showProblems(said.problems);
}

// The panel is drawn anew; who was in one of its controls stays there.
function showPlan(html) {
  const plan = document.getElementById("plan");
  const name = plan.contains(document.activeElement) ? document.activeElement.name : "";
  plan.innerHTML = html;
  if (name) plan.querySelector(`[name="${CSS.escape(name)}"]`)?.focus();
}

function fill(values) {
  for (const input of inputs) {
    const text = values[input.name];
    if (input.type === "checkbox") input.checked = text === "true";
    else if (input.tagName === "SELECT" && ![...input.options].some((option) => option.value === text)) input.add(new Option(text, text, true, true));
    else if (input.value !== text) input.value = text;
  }
}

// Rare fields stand behind "More" until they are changed, and a field that means nothing beside the others' values is
// not there at all; one that differs from its default is always in sight, since it is part of the spec.
function fold() {
  const values = current();
  for (const place of form.querySelectorAll("[data-field]")) {
    const isChanged = values[place.dataset.field] !== place.dataset.default;
    place.classList.toggle("is-changed", isChanged);
    place.hidden = !isChanged && !holds(place.dataset.when, values);
  }
  for (const group of form.querySelectorAll("[data-group-when]")) group.hidden = !holds(group.dataset.groupWhen, values);
  for (const more of form.querySelectorAll("[data-more]")) {
    more.hidden = !more.closest(".group").querySelector(".is-rare:not(.is-changed):not([hidden])");
  }
}

// "model.family=encoder decoder": whether that field has one of these values; nothing always holds.
function holds(when, values) {
  if (!when) return true;
  const [field, wanted] = when.split("=");
  return wanted.split(" ").includes(values[field]);
}

function showProblems(problems) {
  fold();
  for (const place of form.querySelectorAll("[data-field]")) {
    place.classList.remove("is-wrong");
    place.querySelector(".problem").hidden = true;
    place.querySelector("input, select").removeAttribute("aria-invalid");
  }
  const elsewhere = problems.filter((problem) => !showAtField(problem));
  const other = document.getElementById("other-problems");
  other.hidden = !elsewhere.length;
  other.replaceChildren(...elsewhere.map((problem) => paragraph(`${problem.field ? `${problem.field}: ` : ""}${problem.message}`)));
  const list = document.getElementById("yaml-problems");
  list.replaceChildren(...problems.filter((problem) => problem.line).map(yamlLine));
  numberLines(new Set(problems.map((problem) => problem.line)));
  const count = problems.length;
  verdict.textContent = count ? `${count} thing${count > 1 ? "s" : ""} to mend` : "Ready";
  verdict.classList.toggle("is-bad", count > 0);
  go.disabled = count > 0;
}

// Several problems of one field stand one under the other.
function showAtField(problem) {
  const place = form.querySelector(`[data-field="${CSS.escape(problem.field)}"]`);
  if (!place) return false;
  const said = place.querySelector(".problem");
  if (said.hidden) said.replaceChildren();
  said.append(paragraph(problem.message));
  if (problem.fix_label) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-plain btn-tiny";
    button.textContent = problem.fix_label;
    button.addEventListener("click", () => {
      fill({ ...current(), ...problem.fix });
      edited("fields");
    });
    said.append(button);
  }
  said.hidden = false;
  place.classList.add("is-wrong");
  place.querySelector("input, select").setAttribute("aria-invalid", "true");
  return true;
}

const current = () => Object.fromEntries(inputs.map((input) => [input.name, input.type === "checkbox" ? String(input.checked) : input.value]));

function yamlLine(problem) {
  const item = document.createElement("li");
  const jump = document.createElement("button");
  jump.type = "button";
  jump.textContent = `line ${problem.line}`;
  jump.addEventListener("click", () => select(problem.line));
  item.append(jump, ` ${problem.message}`);
  return item;
}

function select(line) {
  const lines = yaml.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  yaml.focus();
  yaml.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
}

function paragraph(text) {
  const made = document.createElement("span");
  made.textContent = text;
  return made;
}

function numberLines(marked = new Set()) {
  const count = yaml.value.split("\n").length;
  gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
    const number = document.createElement("span");
    number.textContent = index + 1;
    if (marked.has(index + 1)) number.className = "is-marked";
    return number;
  }));
  gutter.scrollTop = yaml.scrollTop;
}

showProblems(JSON.parse(document.getElementById("problems").textContent));
