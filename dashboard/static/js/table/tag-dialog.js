// The dialog that adds tags to runs and takes tags off.
/** @import { Target } from "./annotation-target.js" */
import { byId, create, findAll, required } from "../shared/dom.js";
import { showNotice } from "../shared/notices.js";
import { postForAnswer } from "../shared/requests.js";
import { countRuns, formatRuns } from "./annotation-target.js";
import { refreshRows } from "./live-rows.js";

/**
 * @param {Target} target
 * @param {HTMLElement[]} rows of the table, with the tags that their runs have
 */
export function openTagDialog(target, rows) {
  const dialog = byId("tag-dialog", HTMLDialogElement);
  const form = required(dialog, "form", HTMLFormElement);
  const input = required(form, "[name=add]", HTMLInputElement);
  const title = required(form, "[data-tag-of]");
  const problemText = required(form, "[data-tag-problem]");
  /** @type {Set<string>} Keys of the tags that are taken off. */
  const dropped = new Set();
  problemText.hidden = true;
  form.reset();
  title.textContent = `On ${formatRuns(target.count)}.`;
  countRuns(target).then((count) => {
    title.textContent = `On ${formatRuns(count)}.`;
  });
  const ofTarget = rows.filter((row) => !target.ids.length || target.ids.includes(row.dataset.run ?? ""));
  const chips = [...tagsOf(ofTarget)].map(([key, value]) => tagChip(key, value, dropped));
  required(form, "[data-tag-list]").replaceChildren(...chips);
  const known = rows.flatMap((row) => findAll(row, "[data-tag]")).map((tag) => new Option(tag.dataset.tag));
  required(form, "datalist").replaceChildren(...known);
  form.onsubmit = async (event) => {
    event.preventDefault();
    const values = [...target.values, ["add", input.value], ["drop", [...dropped].join(",")]];
    const { isDone, problem, notice } = await postForAnswer("/runs/many/tag/", values);
    problemText.hidden = isDone;
    problemText.textContent = problem;
    if (!isDone) return;
    dialog.close();
    if (notice) showNotice(notice.text, notice.tone);
    refreshRows();
  };
  dialog.showModal();
  input.focus();
}

/** @param {HTMLElement[]} rows @returns {Map<string, string>} Key of each tag -> its value. */
function tagsOf(rows) {
  const tags = rows.flatMap((row) => findAll(row, "[data-tag]"));
  return new Map(tags.map(({ dataset }) => [dataset.tag ?? "", dataset.value ?? ""]));
}

/** @param {string} key @param {string} value @param {Set<string>} dropped */
function tagChip(key, value, dropped) {
  const button = create("button", {
    type: "button", className: "chip is-tag", textContent: value ? `${key}=${value} ×` : `${key} ×`,
    title: "Take this tag off",
  });
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (!dropped.delete(key)) dropped.add(key);
    button.setAttribute("aria-pressed", String(dropped.has(key)));
  });
  return button;
}
