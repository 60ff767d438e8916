// What the lines of one panel are called, and the colours and dashes they have.
/** @import { ChartNames, Group, LineStyle, Series } from "./types.d.ts" */
import { resolveColour, seriesColour } from "./colours.js";

const NUM_COLOURS = 8;
const NOT_SET = "not set"; // the group of runs without the parameter or tag

export class LineNames {
  /**
   * @param {ChartNames} names
   * @param {{ scope: string, isStack: boolean, metrics: string[] }} panel
   */
  constructor(names, { scope, isStack, metrics }) {
    this.names = names;
    this.runs = Object.keys(names.runs);
    this.scope = scope;
    this.isStack = isStack;
    this.metrics = metrics;
  }

  /**
   * Only what tells the lines of the panel apart: run, metric, device or rank.
   * @param {Series} series
   * @returns {string}
   */
  label(series) {
    const parts = [];
    if (this.runs.length > 1) parts.push(this.names.runs[series.run].name);
    if (this.metrics.length > 1) parts.push(series.label);
    if (this.scope === "device") {
      const device = series.source.replace(/^device:/, "");
      parts.push(this.names.devices[device] ?? device);
    } else if (this.scope === "rank" && !this.isStack) parts.push(series.source.replace(/^rank/, "rank "));
    return parts.join(" · ") || series.label;
  }

  /**
   * With several runs a colour is a run, and a dash is one of its lines or tells runs of one colour apart; with one run
   * each line has its own colour.
   * @param {Series} series
   * @param {number} index
   * @param {Series[]} all the series of the panel
   * @returns {LineStyle}
   */
  style(series, index, all) {
    if (this.runs.length === 1) return { colour: seriesColour(index), dash: this.isStack ? 0 : index };
    const ofRun = all.filter((one) => one.run === series.run);
    const own = ofRun.findIndex((one) => one.metric === series.metric && one.source === series.source);
    const { colour, dash } = this.names.runs[series.run];
    return { colour: resolveColour(colour), dash: dash + Math.max(0, own) };
  }

  /**
   * How runs form groups by the values of a parameter or tag; null where it is none.
   * @param {string} facet
   * @returns {((series: Series) => Group) | null}
   */
  grouping(facet) {
    const values = this.names.facets?.[facet];
    if (!values) return null;
    const valueOf = (/** @type {string} */ run) => values[run] ?? NOT_SET;
    const compare = (/** @type {string} */ a, /** @type {string} */ b) => a.localeCompare(b, "en", { numeric: true });
    const order = [...new Set(this.runs.map(valueOf))].sort(compare);
    return ({ run, metric }) => {
      const value = valueOf(run);
      const index = order.indexOf(value);
      return {
        key: `${facet}=${value}`,
        label: this.metrics.length > 1 ? `${value} · ${metric}` : value,
        colour: seriesColour(index),
        dash: Math.floor(index / NUM_COLOURS) + this.metrics.indexOf(metric),
      };
    };
  }
}
