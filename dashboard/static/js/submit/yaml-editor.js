// The text area with the spec as YAML, and the line numbers beside it.
import { byId, create, required } from "../shared/dom.js";

export const yaml = byId("yaml", HTMLTextAreaElement);
const gutter = required(document, ".gutter");

/** Keeps the line numbers beside their lines. */
export function startYamlEditor() {
  yaml.addEventListener("scroll", () => {
    gutter.scrollTop = yaml.scrollTop;
  });
}

/** @param {Set<number | null>} [marked] lines with a problem */
export function numberLines(marked = new Set()) {
  const numbers = yaml.value.split("\n").map((_, index) => {
    const className = marked.has(index + 1) ? "is-marked" : "";
    return create("span", { className, textContent: String(index + 1) });
  });
  gutter.replaceChildren(...numbers);
  gutter.scrollTop = yaml.scrollTop;
}

/** @param {number} line counted from 1 */
export function selectLine(line) {
  const lines = yaml.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  yaml.focus();
  yaml.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
}
