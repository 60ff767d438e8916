// What the lines of one panel are called, and the colours and dashes they have.
/** @import { ChartNames, Group, LineStyle, Series } from "./types.d.ts" */
import { NOT_SET, colourBy, compareValues, valueColour } from "./colour-by.js";
import { resolveColour, seriesColour } from "./colours.js";

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
   * @param {"name" | "short"} [ofRun] how the run is called
   * @returns {string}
   */
  label(series, ofRun = "name") {
    const parts = [];
    if (this.runs.length > 1) parts.push(this.names.runs[series.run][ofRun]);
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
   * @param {string} facet the parameter or tag that gives the runs their colours, or ""
   * @returns {LineStyle}
   */
  style(series, index, all, facet) {
    if (this.runs.length === 1) return { colour: seriesColour(index), dash: this.isStack ? 0 : index };
    const ofRun = all.filter((one) => one.run === series.run);
    const own = ofRun.findIndex((one) => one.metric === series.metric && one.source === series.source);
    const { colour, dash } = (facet && colourBy(this.names, facet)?.styles[series.run]) || this.names.runs[series.run];
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
    const order = [...new Set(this.runs.map(valueOf))].sort(compareValues);
    return ({ run, metric }) => {
      const value = valueOf(run);
      const index = order.indexOf(value);
      return {
        key: `${facet}=${value}`,
        label: this.metrics.length > 1 ? `${value} · ${metric}` : value,
        colour: valueColour(index).colour,
        dash: valueColour(index).dash + this.metrics.indexOf(metric),
      };
    };
  }
}
