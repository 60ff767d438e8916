// The form above the pictures: which fields are their axes and colours. A change loads the page of these choices.
import { around, closest, required } from "../shared/dom.js";

/** Choices of the page itself, which a new choice of fields leaves as they are. */
const KEPT = ["xbest", "ybest", "xlog", "ylog"];

/**
 * @param {URLSearchParams} query of the page
 */
export function startFieldForm(query) {
  const form = required(document, "[data-choices]", HTMLFormElement);
  for (const field of form.elements) {
    if (field.matches("select, [type=search]")) field.addEventListener("change", () => form.requestSubmit());
  }
  form.addEventListener("formdata", ({ formData }) => {
    dropEmpty(formData);
    for (const name of KEPT) {
      const value = query.get(name);
      if (value !== null) formData.set(name, value);
    }
  });
  form.addEventListener("click", (event) => {
    const button = closest(event, "button");
    const chip = around(button, ".axis-chip");
    if (!button || !chip) return;
    if ("dropAxis" in button.dataset) chip.remove();
    else chip.previousElementSibling?.before(chip);
    form.requestSubmit();
  });
}

/** @param {FormData} formData Empty choices stay out of the address. */
function dropEmpty(formData) {
  for (const name of [...new Set(formData.keys())]) {
    const values = formData.getAll(name).filter(Boolean);
    formData.delete(name);
    for (const value of values) formData.append(name, value);
  }
}
