// The values of a panel's lines: in its legend, in the tooltip at the cursor, and announced to screen readers.
/** @import { CursorEntry, LegendItem, Line } from "./types.d.ts" */
/** @import { Panel } from "./panel.js" */
import { required } from "../shared/dom.js";
import { formatMetric } from "../shared/format.js";
import { announcement, nearestPosition, renderLegend, renderTooltip, valuesAt } from "./tooltip.js";

const MAX_LEGEND = 12; // of a small panel, which counts the others; a panel in the full window has all

export class Readout {
  /** @param {Panel} panel */
  constructor(panel) {
    this.panel = panel;
    this.tooltip = required(panel.element, ".tip");
    this.legend = required(panel.element, ".legend");
    this.announcer = required(panel.element, "[data-spoken]");
    panel.holder.addEventListener("blur", () => {
      this.tooltip.hidden = true;
    });
  }

  /**
   * Where the page has a list of its runs, the legend of a small panel does not repeat it.
   * @param {CursorEntry[] | null} entries the values under the cursor; null: the last ones
   */
  showLegend(entries) {
    const { lines, view } = this.panel;
    const isOpen = this.panel.isOpen();
    const isListed = this.isListed() && !isOpen;
    const shown = isOpen ? lines : lines.slice(0, MAX_LEGEND);
    const items = isListed ? dashItems(lines) : shown.map((line) => this.item(line, entries));
    const more = isListed || shown.length === lines.length ? [] : [moreItem(shown.length, lines.length)];
    renderLegend(this.legend, [...items, ...more], (key) => {
      const line = this.panel.lines.find((one) => one.key === key);
      if (key === MORE) view.set({ open: this.panel.key });
      else if (!isListed && line) this.panel.toggleLine(line);
    });
  }

  /** Whether the page lists what the lines of the panel are: its runs have one colour in all charts. */
  isListed() {
    const { runs, view } = this.panel;
    return runs.length > 1 && !view.state.group && view.hasRunList;
  }

  /** @param {Line} line @param {CursorEntry[] | null} entries @returns {LegendItem} */
  item(line, entries) {
    const value = entries ? entries.find((entry) => entry.line.key === line.key)?.value : lastValue(line);
    return {
      key: line.key,
      colour: line.colour,
      dash: line.dash,
      label: line.short,
      title: line.label,
      isShown: this.panel.isShown(line),
      value: formatMetric(value, this.panel.shownUnit()),
    };
  }

  /**
   * Shows the values at the cursor; a chart that the pointer is not on shows them in its legend only.
   * @param {number | null} x
   * @param {boolean} isHere
   */
  showCursor(x, isHere) {
    const { plot } = this.panel;
    const extent = plot.extent();
    if (x === null || !this.panel.lines.length || !extent) {
      this.tooltip.hidden = true;
      this.showLegend(null);
      return;
    }
    const entries = valuesAt(plot.lines, x, extent);
    if (!this.isListed() || this.panel.isOpen()) this.showLegend(entries);
    this.tooltip.hidden = !isHere || !entries.length;
    if (this.tooltip.hidden) return;
    renderTooltip(this.tooltip, entries, { ...this.place(nearestPosition(entries, x)), ...plot.cursorPlace() });
  }

  /**
   * Moves the keyboard's cursor along the points of the longest line, and announces what is there.
   * @param {number} by points; infinite: to the first or last one
   */
  moveCursor(by) {
    const { plot } = this.panel;
    const longest = longestOf(plot.lines);
    const extent = plot.extent();
    if (!longest || !extent) return;
    const { lo, hi } = extent;
    const xs = longest.x.filter((x) => x >= lo && x <= hi);
    const cursor = plot.cursor();
    const last = xs.length - 1;
    const current = cursor === undefined ? last : xs.findLastIndex((x) => x <= cursor + (hi - lo) * 1e-6);
    const row = Math.min(last, Math.max(0, Number.isFinite(by) ? current + by : by > 0 ? last : 0));
    plot.setCursor(xs[row]);
    this.announcer.textContent = announcement(valuesAt(plot.lines, xs[row], extent), this.place(xs[row]));
  }

  /** @param {number} x */
  place(x) {
    return { x, axis: this.panel.shownAxis(), unit: this.panel.shownUnit() };
  }
}

const MORE = "more"; // key of the item that leads to all lines

/** @param {number} shown @param {number} all @returns {LegendItem} */
function moreItem(shown, all) {
  const label = `${shown} of ${all.toLocaleString("en")} · all`;
  return { key: MORE, label, title: "All lines, in the full window", colour: "transparent", dash: 0, isShown: true };
}

/**
 * What the dashes mean, where each run has several lines.
 * @param {Line[]} lines
 * @returns {LegendItem[]}
 */
function dashItems(lines) {
  const ofOneRun = lines.filter((line) => line.owner === lines[0].owner);
  if (ofOneRun.length < 2) return [];
  return ofOneRun.map((line) => ({
    key: line.key,
    label: line.label.split(" · ").slice(1).join(" · "),
    colour: "var(--ink-3)",
    dash: line.dash - ofOneRun[0].dash,
    isShown: true,
  }));
}

/** @param {Line[]} lines @returns {Line | null} */
function longestOf(lines) {
  return lines.reduce((/** @type {Line | null} */ best, line) =>
    (line.x.length > (best?.x.length ?? 0) ? line : best), null);
}

/** @param {Line} line @returns {number | null} */
function lastValue({ y, ownValues }) {
  const values = ownValues ?? y;
  for (let row = values.length - 1; row >= 0; row -= 1) if (!Number.isNaN(values[row])) return values[row];
  return null;
}
