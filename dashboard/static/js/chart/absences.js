// The reasons why a panel shows nothing, or not everything: what was not measured.
/** @import { Missing } from "./types.d.ts" */
import { create, find, findAll, required } from "../shared/dom.js";

const ABSENCE = "[data-absence]";

/**
 * @param {HTMLElement} panel
 * @returns {boolean}
 */
export const hasAbsence = (panel) => find(panel, ABSENCE) !== null;

/**
 * @param {HTMLElement} panel
 * @returns {string[]}
 */
export const absenceTexts = (panel) => findAll(panel, ABSENCE).map((item) => item.textContent ?? "");

/**
 * Lists the reasons that a run has recorded since the page was made, where the page has none yet.
 * @param {HTMLElement} panel
 * @param {Missing} missing
 * @param {string[]} metrics
 * @param {string} scope what a source is: a rank or a device
 */
export function showAbsences(panel, missing, metrics, scope) {
  const sourcesOf = sourcesByReason(missing, metrics);
  if (!sourcesOf.size || hasAbsence(panel)) return;
  const items = [...sourcesOf].map(([text, sources]) => {
    const item = create("li", {}, sources.size > 1 ? `${text} (${sources.size} ${scope}s)` : text);
    item.dataset.absence = "";
    return item;
  });
  required(panel, "[data-absences]").replaceChildren(...items);
}

/**
 * @param {Missing} missing
 * @param {string[]} metrics
 */
function sourcesByReason(missing, metrics) {
  /** @type {Map<string, Set<string>>} */
  const found = new Map();
  for (const ofRun of Object.values(missing)) {
    for (const [source, [status, reason]] of metrics.flatMap((metric) => Object.entries(ofRun[metric] ?? {}))) {
      if (!source) continue; // an empty source only says that no value has come yet
      const text = `${status}: ${reason}`;
      found.set(text, (found.get(text) ?? new Set()).add(source));
    }
  }
  return found;
}
