// What is wrong with a spec: at its fields, at the lines of the YAML, and in one sentence beside the submit button.
/** @import { Values } from "./spec-fields.js" */
import { byId, create, find, findAll, required } from "../shared/dom.js";
import { form, showRelevantFields } from "./spec-fields.js";
import { numberLines, selectLine } from "./yaml-editor.js";

/**
 * @typedef {object} Problem
 * @property {string} field its path; empty where the problem is of the whole spec
 * @property {string} message
 * @property {Values} fix values that solve it
 * @property {string} [fix_label] empty where there is no fix
 * @property {number | null} line of the YAML
 */

const verdict = byId("verdict");

/** @param {string} text */
export function showVerdict(text) {
  verdict.textContent = text;
}

/**
 * @param {Problem[]} problems
 * @param {(fix: Values) => void} onFix
 */
export function showProblems(problems, onFix) {
  showRelevantFields();
  for (const place of findAll(form, "[data-field]")) clearProblem(place);
  const elsewhere = problems.filter((problem) => !showAtField(problem, onFix));
  const other = byId("other-problems");
  other.hidden = !elsewhere.length;
  other.replaceChildren(...elsewhere.map(({ field, message }) => paragraph(`${field ? `${field}: ` : ""}${message}`)));
  const lines = problems.flatMap(({ line, message }) => (line ? [lineItem(line, message)] : []));
  byId("yaml-problems").replaceChildren(...lines);
  numberLines(new Set(problems.map(({ line }) => line)));
  const count = problems.length;
  showVerdict(count ? `${count} problem${count > 1 ? "s" : ""} to fix` : "Ready");
  verdict.classList.toggle("is-bad", count > 0);
  byId("go", HTMLButtonElement).disabled = count > 0;
}

/** @param {HTMLElement} place of a field */
function clearProblem(place) {
  place.classList.remove("is-wrong");
  required(place, ".problem").hidden = true;
  required(place, "input, select").removeAttribute("aria-invalid");
}

/**
 * Several problems of one field are listed one under the other.
 * @param {Problem} problem
 * @param {(fix: Values) => void} onFix
 * @returns {boolean} false where the form has no such field
 */
function showAtField({ field, message, fix, fix_label: label }, onFix) {
  const place = find(form, `[data-field="${CSS.escape(field)}"]`);
  if (!place) return false;
  const text = required(place, ".problem");
  if (text.hidden) text.replaceChildren();
  text.append(paragraph(message));
  if (label) {
    const button = create("button", { type: "button", className: "btn btn-plain btn-tiny", textContent: label });
    button.addEventListener("click", () => onFix(fix));
    text.append(button);
  }
  text.hidden = false;
  place.classList.add("is-wrong");
  required(place, "input, select").setAttribute("aria-invalid", "true");
  return true;
}

/** @param {number} line @param {string} message */
function lineItem(line, message) {
  const button = create("button", { type: "button", textContent: `line ${line}` });
  button.addEventListener("click", () => selectLine(line));
  return create("li", {}, button, ` ${message}`);
}

/** @param {string} text */
const paragraph = (text) => create("span", { textContent: text });
