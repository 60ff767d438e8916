// The legend that all charts of one block share: its runs, or the groups or values that give them their colours.
/** @import { ChartNames, LegendItem } from "./types.d.ts" */
/** @import { View } from "./view.js" */
import { colourBy } from "./colour-by.js";
import { resolveColour } from "./colours.js";
import { renderLegend } from "./tooltip.js";

/**
 * @param {HTMLElement} legend
 * @param {View} view
 * @param {ChartNames} names
 * @param {string[]} runs of the block
 */
export function showRunLegend(legend, view, names, runs) {
  const { colour, group } = view.state;
  legend.hidden = Boolean(group) || runs.length < 2; // each chart then has a legend of its own
  if (legend.hidden) return;
  const styles = colour ? colourBy(names, colour)?.styles : undefined;
  const values = names.facets?.[colour] ?? {};
  /** @type {LegendItem[]} */
  const items = runs.map((run) => {
    const { name, short, dash, colour: own } = names.runs[run];
    return {
      ...(styles?.[run] ?? { colour: resolveColour(own), dash }),
      key: run,
      label: styles ? `${short} (${values[run] ?? "not set"})` : short,
      title: name,
      isShown: view.isShown(run),
    };
  });
  renderLegend(legend, items, (run) => view.toggle("hide", run));
}
