// What people write on runs from the table: names in place, tags, colours, the archive; one run or all that are
// selected.
import { around, byId, closest, create, find, findAll, required } from "../shared/dom.js";
import { listenToKeys } from "../shared/keyboard.js";
import { confirmed, showNotice } from "../shared/notices.js";
import { postForAnswer } from "../shared/requests.js";
import { annotationTarget, countRuns, formatRuns } from "./annotation-target.js";
import { refreshRows } from "./live-rows.js";
import { currentFilter, queryToggling, queryWith, runOfRow, showTable } from "./section.js";
import { clearSelection, selection } from "./selection.js";
import { openTagDialog } from "./tag-dialog.js";

const MAX_NAME = 250;
const DEFAULT_COLOUR = "#2f5bd7";

const focusedRow = () => around(document.activeElement, "#runs tr[data-run]");

/** @param {string} run @param {Record<string, string>} values */
const changeRun = (run, values) => postForAnswer(`/runs/${run}/change/`, values);

/**
 * Keys of the table; false where a key does nothing.
 * @type {Record<string, () => unknown>}
 */
const KEYS = {
  e: () => renameRow(focusedRow()),
  t: () => (selection().count || focusedRow() ? tagRuns() : false),
  a: () => (selection().count || focusedRow() ? archiveRuns() : false),
  p: () => toggleRow("pin", focusedRow()),
  h: () => toggleRow("hide", focusedRow()),
  X: () => find(document, "[data-tick-all]")?.click(),
  Escape: () => (selection().count ? clearSelection() : false),
};

export function listenToAnnotations() {
  document.addEventListener("click", (event) => {
    const dot = closest(event, "[data-colour]");
    if (dot && around(dot, "tr")?.hasAttribute("data-writable")) openColourDialog(dot);
    const button = closest(event, "[data-choose] [data-act]");
    if (button?.dataset.act === "tag") tagRuns();
    if (button?.dataset.act === "archive") archiveRuns();
    if (button?.dataset.act === "delete") deleteRuns();
  });
  listenToKeys(KEYS);
}

/** @param {"pin" | "hide"} name @param {HTMLElement | null} row */
function toggleRow(name, row) {
  return row ? showTable(queryToggling(name, row.dataset.run ?? "")) : false;
}

/** @param {HTMLElement | null} row Its name becomes an input; Enter saves, Escape leaves the name as it is. */
function renameRow(row) {
  if (!row?.hasAttribute("data-writable")) return false;
  const link = required(row, ".title");
  const input = create("input", {
    className: "form-control form-control-sm rename", value: link.textContent ?? "", maxLength: MAX_NAME,
  });
  input.setAttribute("aria-label", "New name");
  link.hidden = true;
  link.after(input);
  input.select();
  let isOver = false;
  const end = () => {
    if (isOver) return; // removing the input blurs it, which calls this again
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
    const { isDone, problem } = await changeRun(row.dataset.run ?? "", { name: input.value });
    if (!isDone) {
      showNotice(problem, "bad");
      return;
    }
    link.textContent = input.value.trim();
    end();
  });
  input.addEventListener("blur", () => {
    if (input.value === link.textContent) end();
  });
  return true;
}

/** @returns {boolean} false where there is no run to tag */
function tagRuns() {
  const target = annotationTarget(focusedRow());
  if (!target.count) return false;
  openTagDialog(target, findAll(document, "#runs tr[data-run]"));
  return true;
}

async function archiveRuns() {
  const target = annotationTarget(focusedRow());
  if (!target.count || !find(document, "[data-act=archive]")) return;
  const action = currentFilter().includes("is:archived") ? "restore" : "archive";
  const count = await countRuns(target);
  const verb = action === "archive" ? "Archive" : "Restore";
  const question = `${verb} ${formatRuns(count)}? Nothing is deleted: is:archived finds what is archived.`;
  if (count > 1 && !(await confirmed(question, `${verb} runs`))) return;
  const { isDone, problem, notice } = await postForAnswer(`/runs/many/${action}/`, target.values);
  if (!isDone) {
    showNotice(problem, "bad");
    return;
  }
  clearSelection();
  if (notice) showNotice(notice.text, notice.tone, notice.undo);
  showTable(queryWith({}), { keepsAddress: true });
}

async function deleteRuns() {
  const target = annotationTarget(focusedRow());
  if (!target.count) return;
  const text = formatRuns(await countRuns(target));
  const question = `Delete ${text}? They stay in the bin for some days; then points, files and checkpoints go.`;
  if (!(await confirmed(question, "Delete runs", "Keep runs"))) return;
  const { isDone, problem, notice } = await postForAnswer("/runs/many/delete/", target.values);
  if (!isDone) {
    showNotice(problem, "bad");
    return;
  }
  clearSelection();
  if (notice) showNotice(notice.text, notice.tone, notice.undo);
  showTable(queryWith({}), { keepsAddress: true });
}

/** @param {HTMLElement} dot of the run whose colour is chosen */
function openColourDialog(dot) {
  const dialog = byId("colour-dialog", HTMLDialogElement);
  const form = required(dialog, "form", HTMLFormElement);
  const colourInput = required(form, "[name=colour]", HTMLInputElement);
  const save = async (/** @type {string} */ colour) => {
    dialog.close();
    const { isDone, problem } = await changeRun(runOfRow(dot), { colour });
    if (!isDone) showNotice(problem, "bad");
    refreshRows();
  };
  colourInput.value = dot.dataset.colour || DEFAULT_COLOUR;
  form.onsubmit = (event) => {
    event.preventDefault();
    save(colourInput.value);
  };
  required(form, "[data-derived]").onclick = () => save("");
  dialog.showModal();
}
