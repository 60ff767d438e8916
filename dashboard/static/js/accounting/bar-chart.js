// One chart of the accounting page: stacked bars, one a day or a month.
import { seriesColour } from "../chart/colours.js";
import { axisStyle } from "../chart/plot-options.js";
import { tickIncrements, tickLabels } from "../chart/ticks.js";
import { placeTooltip } from "../chart/tooltip.js";
import { around, create, required } from "../shared/dom.js";

const DAY_S = 86400;
const MIN_WIDTH = 50;
const MAX_MONTHS = 12; // that are labelled

/**
 * One layer of the stack.
 * @typedef {object} Layer
 * @property {string} name
 * @property {number} colour index into --series-1 and so on
 * @property {(number | null)[]} values one a bar; null: unknown
 */

/**
 * @typedef {object} BarData
 * @property {number[]} x seconds since the epoch, one a bar
 * @property {boolean} isMonthly
 * @property {Layer[]} layers the first one at the bottom
 * @property {string} unit of the y axis
 * @property {number} [ceiling] of the y axis
 * @property {(value: number | null) => string} format
 */

export class BarChart {
  /**
   * @param {HTMLElement} holder
   * @param {BarData} data
   */
  constructor(holder, data) {
    this.holder = holder;
    this.data = data;
    this.panel = around(holder, ".panel") ?? holder;
    this.tooltip = required(this.panel, ".tip");
    this.listeners = new AbortController();
    const stacked = cumulated(data.layers);
    // The last layer is the tallest: it is drawn first, and the others cover it.
    this.order = data.layers.map((_, index) => data.layers.length - 1 - index);
    const columns = this.order.map((index) => stacked[index]);
    this.uplot = new uPlot(this.options(), [data.x, ...columns], holder);
    this.uplot.over.append(this.tooltip);
    this.showLegend();
    this.listen();
  }

  listen() {
    const { signal } = this.listeners;
    this.holder.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.holder.addEventListener("blur", () => {
      this.tooltip.hidden = true;
    }, { signal });
  }

  destroy() {
    this.listeners.abort();
    this.uplot.destroy();
  }

  resize() {
    this.uplot.setSize(this.size());
  }

  size() {
    return { width: Math.max(MIN_WIDTH, this.holder.clientWidth), height: this.holder.clientHeight };
  }

  /** @returns {uPlot.Options} */
  options() {
    const half = (this.data.isMonthly ? 15 : 0.5) * DAY_S;
    const { ceiling, layers } = this.data;
    const paths = uPlot.paths.bars?.({ size: [0.78, 60] });
    const colours = this.order.map((index) => seriesColour(layers[index].colour));
    return {
      ...this.size(),
      legend: { show: false },
      padding: [12, 14, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: {
        x: { time: true, range: (_, low, high) => [low - half, high + half] },
        y: { range: (_, _low, high) => [0, ceiling ?? (high || 1) * 1.06] },
      },
      axes: [this.xAxis(), this.yAxis()],
      series: [
        {},
        ...colours.map((colour) => ({ stroke: colour, fill: colour, width: 0, points: { show: false }, paths })),
      ],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      hooks: { setCursor: [(uplot) => this.showTooltip(uplot.cursor.idx)] },
    };
  }

  /** @returns {uPlot.Axis} */
  xAxis() {
    const { x, isMonthly } = this.data;
    const every = Math.ceil(x.length / MAX_MONTHS);
    const places = isMonthly
      ? { splits: () => x.filter((_, row) => row % every === 0) }
      : { incrs: [1, 2, 4, 7, 14].map((days) => days * DAY_S) };
    return {
      ...axisStyle(),
      ...places,
      size: 30,
      space: isMonthly ? 60 : 42,
      values: (_, splits) => splits.map((seconds) => this.date(seconds).slice(isMonthly ? 0 : 5)),
    };
  }

  /** @returns {uPlot.Axis} */
  yAxis() {
    const { unit } = this.data;
    return {
      ...axisStyle(),
      size: 62,
      incrs: tickIncrements(unit),
      values: (_, splits, _axis, _space, step) => tickLabels(splits, unit, step),
    };
  }

  /** @param {number} seconds */
  date(seconds) {
    return new Date(seconds * 1000).toISOString().slice(0, this.data.isMonthly ? 7 : 10);
  }

  /** @param {number | null | undefined} bar index of the bar under the cursor */
  showTooltip(bar) {
    const isHere = this.uplot?.over.matches(":hover") || this.holder === document.activeElement;
    this.tooltip.hidden = bar === null || bar === undefined || !isHere;
    if (bar === null || bar === undefined || !isHere) return;
    const { layers, x, format } = this.data;
    const rows = layers.filter((layer) => layer.values[bar] !== 0)
      .map((layer) => tooltipRow(swatch(layer), layer.name, format(layer.values[bar])));
    const all = format(layers.reduce((sum, layer) => sum + (layer.values[bar] ?? 0), 0));
    this.tooltip.replaceChildren(
      span("tip-x", this.date(x[bar])), ...rows, ...(layers.length > 1 ? [tooltipRow(null, "all", all)] : []));
    placeTooltip(this.tooltip, this.uplot.cursor.left ?? 0, this.uplot.over.clientWidth);
  }

  /** A legend with the sum of each layer, where there is more than one. */
  showLegend() {
    const { layers, format } = this.data;
    const items = (layers.length > 1 ? layers : []).map((layer) => {
      const sum = layer.values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0);
      const parts = [swatch(layer), span("legend-name", layer.name), span("legend-value", format(sum))];
      return create("span", { className: "legend-item" }, ...parts);
    });
    required(this.panel, ".legend").replaceChildren(...items);
  }

  /** @param {KeyboardEvent} event Arrow keys move the cursor from bar to bar. */
  onKey(event) {
    const { x, layers, format } = this.data;
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (!by) return;
    event.preventDefault();
    const bar = Math.min(x.length - 1, Math.max(0, (this.uplot.cursor.idx ?? x.length) + by));
    this.uplot.setCursor({ left: this.uplot.valToPos(x[bar], "x"), top: this.uplot.over.clientHeight / 3 });
    const values = layers.map((layer) => `${layer.name} ${format(layer.values[bar])}`);
    required(this.panel, "[data-spoken]").textContent = `${this.date(x[bar])}: ${values.join(", ")}`;
  }
}

/**
 * Each layer's values with those of the layers below it.
 * @param {Layer[]} layers
 * @returns {(number | null)[][]}
 */
function cumulated(layers) {
  /** @type {(number | null)[][]} */
  const sums = [];
  for (const { values } of layers) {
    const below = sums.at(-1);
    sums.push(values.map((value, bar) => ((value ?? null) === null ? null : Number(value) + (below?.[bar] ?? 0))));
  }
  return sums;
}

/** @param {Layer} layer */
function swatch({ colour }) {
  const mark = create("i", { className: "swatch" });
  mark.style.setProperty("--stroke", `var(--series-${colour + 1})`);
  return mark;
}

/** @param {Node | null} mark @param {string} name @param {string} value */
function tooltipRow(mark, name, value) {
  const texts = [span("tip-name", name), span("tip-value", value)];
  return create("span", { className: "tip-row" }, ...(mark ? [mark] : []), ...texts);
}

/** @param {string} className @param {string} text */
const span = (className, text) => create("span", { className, textContent: text });
