// The fields of the submit form: their values, and which of them are shown.
import { around, find, findAll, required } from "../shared/dom.js";

/** @typedef {HTMLInputElement | HTMLSelectElement} Control */
/** @typedef {Record<string, string>} Values Path of a field -> its value as text. */

export const form = required(document, "#spec-form", HTMLFormElement);
const controls = findAll(form, "[data-field] input, [data-field] select").filter(isControl);

/** @param {EventTarget | null} element @returns {element is Control} */
function isControl(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLSelectElement;
}

/** @param {EventTarget | null} element @returns {boolean} Whether it is the control of a field of the spec. */
export const isSpecControl = (element) => isControl(element) && controls.includes(element);

/** @param {Control} control */
const isCheckbox = (control) => control instanceof HTMLInputElement && control.type === "checkbox";

/** @param {Control} control */
const valueOf = (control) =>
  (control instanceof HTMLInputElement && isCheckbox(control) ? String(control.checked) : control.value);

/** @returns {Values} */
export function currentValues() {
  return Object.fromEntries(controls.map((control) => [control.name, valueOf(control)]));
}

/** @param {Values} values of every field */
export function fillFields(values) {
  for (const control of controls) {
    const text = values[control.name];
    if (control instanceof HTMLSelectElement) selectOption(control, text);
    else if (isCheckbox(control)) control.checked = text === "true";
    else if (control.value !== text) control.value = text;
  }
}

/** @param {HTMLSelectElement} select @param {string} text Is added where the select does not offer it. */
function selectOption(select, text) {
  const isOffered = [...select.options].some((option) => option.value === text);
  if (!isOffered) select.add(new Option(text, text, true, true));
  else if (select.value !== text) select.value = text;
}

/**
 * Shows the fields that matter. Rare ones stay behind "More" until they are changed, and one that means nothing beside
 * the values of others is hidden; one that differs from its default is always shown, as it is part of the spec.
 */
export function showRelevantFields() {
  const values = currentValues();
  for (const place of findAll(form, "[data-field]")) {
    const { field = "", default: usual, when } = place.dataset;
    const isChanged = values[field] !== usual;
    place.classList.toggle("is-changed", isChanged);
    place.hidden = !isChanged && !holds(when, values);
  }
  for (const group of findAll(form, "[data-group-when]")) group.hidden = !holds(group.dataset.groupWhen, values);
  for (const more of findAll(form, "[data-more]")) {
    const group = around(more, ".group");
    more.hidden = !group || !find(group, ".is-rare:not(.is-changed):not([hidden])");
  }
}

/**
 * Whether a condition such as "model.family=encoder decoder" holds: the field has one of these values. No condition
 * always holds.
 * @param {string | undefined} when
 * @param {Values} values
 */
function holds(when, values) {
  if (!when) return true;
  const [field, wanted] = when.split("=");
  return wanted.split(" ").includes(values[field]);
}

/**
 * Shows the rare fields of a group, or hides them again.
 * @param {HTMLElement} button
 */
export function toggleMore(button) {
  const isOpen = around(button, ".group")?.classList.toggle("is-open") ?? false;
  button.setAttribute("aria-expanded", String(isOpen));
  button.textContent = isOpen ? "Less" : "More";
}
