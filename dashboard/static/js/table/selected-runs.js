// Moving the selected runs to a project, and deleting them.
import { byId, required } from "../shared/dom.js";
import { confirmed, showNotice } from "../shared/notices.js";
import { postForAnswer } from "../shared/requests.js";
import { annotationTarget, countRuns, formatRuns } from "./annotation-target.js";
import { queryWith, showTable } from "./section.js";
import { clearSelection } from "./selection.js";

/**
 * @param {string} action
 * @param {string[][]} values
 */
async function change(action, values) {
  const { isDone, problem, notice } = await postForAnswer(`/runs/many/${action}/`, values);
  if (!isDone) {
    showNotice(problem, "bad");
    return;
  }
  clearSelection();
  if (notice) showNotice(notice.text, notice.tone, notice.undo);
  showTable(queryWith({}), { keepsAddress: true });
}

export async function deleteRuns() {
  const target = annotationTarget(null);
  if (!target.count) return;
  const text = formatRuns(await countRuns(target));
  const question = `Delete ${text}? They stay in the bin for some days; then points, files and checkpoints go.`;
  if (await confirmed(question, "Delete runs", "Keep runs")) change("delete", target.values);
}

export function moveRuns() {
  const target = annotationTarget(null);
  if (!target.count) return;
  const dialog = byId("move-dialog", HTMLDialogElement);
  const field = byId("move-project", HTMLInputElement);
  required(dialog, "[data-cancel]").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") change("move", [...target.values, ["project", field.value.trim()]]);
  };
  dialog.showModal();
}
