// What stands under the cursor of a chart: as a tooltip, in its legend, and as a spoken sentence.
import { exact, metric, position } from "../shared/format.js";
import { DASHES } from "./paint.js";
import { firstFrom } from "./extents.js";

const ROWS = 14;
const NEAR = 0.03; // of the width: a line that ended longer ago has nothing to say here

// One entry a line that has a point near x, greatest value first.
export function valuesAt(lines, x, { lo, hi }) {
  const found = [];
  for (const line of lines) {
    const row = nearest(line.x, x);
    if (row < 0 || Math.abs(line.x[row] - x) > Math.max((hi - lo) * NEAR, gapAt(line.x, row))) continue;
    const value = line.part ? line.part[row] : line.y[row];
    const odd = Number.isNaN(value) ? line.odd.find(([at]) => at === line.x[row])?.[1] : undefined;
    if (!Number.isNaN(value) || odd) found.push({ line, row, value, odd, low: line.part ? undefined : line.low?.[row], high: line.high?.[row] });
  }
  return found.sort((a, b) => (Number.isNaN(a.value) ? 1 : Number.isNaN(b.value) ? -1 : b.value - a.value));
}

function nearest(xs, x) {
  const after = firstFrom(xs, x);
  if (after >= xs.length) return xs.length - 1;
  return after > 0 && x - xs[after - 1] < xs[after] - x ? after - 1 : after;
}

const gapAt = (xs, row) => Math.max(row ? xs[row] - xs[row - 1] : 0, row + 1 < xs.length ? xs[row + 1] - xs[row] : 0) / 2;

export function placeOf(entries, x) {
  return entries.length ? entries.reduce((best, entry) => (Math.abs(entry.line.x[entry.row] - x) < Math.abs(best - x) ? entry.line.x[entry.row] : best), Infinity) : x;
}

// The rows around the pointer's height: of two hundred lines these are the ones that are looked at.
export function writeTip(tip, entries, { x, kind, unit, yAt, place, isOrdered }) {
  const near = entries.reduce((best, entry, index) => (Math.abs(entry.value - yAt) < Math.abs(entries[best].value - yAt) ? index : best), 0);
  const first = Math.max(0, Math.min(near - ROWS / 2, entries.length - ROWS));
  const shown = entries.slice(first, first + ROWS);
  const more = [first, entries.length - first - shown.length];
  tip.replaceChildren(
    span("tip-x", position(x, kind)),
    ...(more[0] ? [span("tip-more", `${more[0]} above`)] : []),
    ...shown.map((entry, index) => tipRow(entry, unit, isOrdered && entries.length > 1 && first + index === near)),
    ...(more[1] > 0 ? [span("tip-more", `${more[1]} below`)] : []),
  );
  const isRight = place.left > place.width / 2;
  tip.style.left = isRight ? "" : `${place.left + 14}px`;
  tip.style.right = isRight ? `${place.width - place.left + 14}px` : "";
}

function tipRow({ line, value, odd, low, high }, unit, isNear) {
  const row = span(odd ? "tip-row tip-odd" : "tip-row", "");
  row.toggleAttribute("data-near", isNear);
  const range = low === undefined || low === null || odd ? "" : ` (${metric(low, unit)} to ${metric(high, unit)})`;
  row.append(swatch(line), span("tip-name", line.label), span("tip-value", odd ?? `${exact(value, unit)}${range}`));
  return row;
}

export function spokenOf(entries, { x, kind, unit }) {
  const said = entries.slice(0, ROWS).map(({ line, value, odd }) => `${line.label} ${odd ?? metric(value, unit)}`);
  if (entries.length > ROWS) said.push(`and ${entries.length - ROWS} more`);
  return `${position(x, kind)}: ${said.join(", ")}`;
}

// items: {key, label, colour, dash, isShown, value}; a click tells the key.
export function writeLegend(legend, items, onToggle) {
  const shape = JSON.stringify(items.map(({ key, label, colour, dash, isShown }) => [key, label, colour, dash, isShown]));
  if (legend.dataset.shape !== shape) {
    legend.dataset.shape = shape;
    legend.replaceChildren(...items.map((item) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "legend-item";
      button.setAttribute("aria-pressed", String(item.isShown));
      button.append(swatch(item), span("legend-name", item.label), span("legend-value", ""));
      button.addEventListener("click", () => onToggle(item.key));
      return button;
    }));
  }
  items.forEach((item, index) => { legend.children[index].lastElementChild.textContent = item.value ?? ""; });
}

function swatch({ colour, dash }) {
  const mark = document.createElement("i");
  mark.className = "swatch";
  mark.style.setProperty("--stroke", colour);
  mark.dataset.dash = dash % DASHES.length;
  return mark;
}

export function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}
