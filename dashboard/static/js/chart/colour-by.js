// Colours of runs by the value of a parameter or tag: a scale for many numbers, else one colour for each value.
/** @import { ChartNames, LineStyle } from "./types.d.ts" */
import { formatMetric } from "../shared/format.js";
import { resolveColour } from "./colours.js";

export const NOT_SET = "not set"; // runs without the parameter or tag
const NUM_COLOURS = 10; // --run-1 to --run-10 of css/tokens.css
const MANY = 6; // different numbers, from which on they are a scale
const WIDE = 100; // times the least: a scale of positive numbers is logarithmic

/** @typedef {LineStyle & { label: string }} ColourKey */
/** @typedef {{ styles: Record<string, LineStyle>, keys: ColourKey[], isScale: boolean }} Colouring */

/** @param {string} a @param {string} b */
export const compareValues = (a, b) => Number(a) - Number(b) || a.localeCompare(b, "en", { numeric: true });

/** @type {{ names: ChartNames | null, key: string, made: Colouring | null }} What was asked for last. */
const latest = { names: null, key: "", made: null };

/**
 * @param {ChartNames} names
 * @param {string} facet
 * @returns {Colouring | null} null where the runs have no such parameter or tag
 */
export function colourBy(names, facet) {
  const values = names.facets?.[facet];
  if (!values) return null;
  const key = `${document.documentElement.dataset.bsTheme} ${facet}`;
  if (latest.names !== names || latest.key !== key) Object.assign(latest, { names, key, made: build(names, values) });
  return latest.made;
}

/** @param {ChartNames} names @param {Record<string, string>} values @returns {Colouring} */
function build({ runs }, values) {
  const ids = Object.keys(runs);
  const order = [...new Set(ids.map((run) => values[run] ?? NOT_SET))].sort(compareValues);
  const numbers = order.filter((value) => value !== NOT_SET).map(Number);
  const isScale = numbers.length > MANY && numbers.every(Number.isFinite);
  const shareOf = isScale ? scaleOf(numbers) : null;
  /** @type {(value: string) => LineStyle} */
  const style = (value) => {
    if (value === NOT_SET) return { colour: resolveColour("var(--ink-3)"), dash: 0 };
    return shareOf ? { colour: rampColour(shareOf(Number(value))), dash: 0 } : valueColour(order.indexOf(value));
  };
  const shown = shareOf ? [numbers[0], numbers[Math.floor(numbers.length / 2)], numbers[numbers.length - 1]] : order;
  return {
    styles: Object.fromEntries(ids.map((run) => [run, style(values[run] ?? NOT_SET)])),
    keys: shown.map((value) => ({
      ...style(String(value)), label: typeof value === "number" ? formatMetric(value, "") : value,
    })),
    isScale,
  };
}

/** @param {number} index @returns {LineStyle} */
export const valueColour = (index) => ({
  colour: resolveColour(`var(--run-${(index % NUM_COLOURS) + 1})`), dash: Math.floor(index / NUM_COLOURS),
});

/** @param {number[]} numbers ascending @returns {(value: number) => number} from 0 to 1 */
function scaleOf(numbers) {
  const [low, high] = [numbers[0], numbers[numbers.length - 1]];
  const scaled = low > 0 && high / low >= WIDE ? Math.log : (/** @type {number} */ value) => value;
  return (value) => (scaled(value) - scaled(low)) / (scaled(high) - scaled(low));
}

/** @param {number} share */
function rampColour(share) {
  const [from, to] = share < 0.5 ? ["low", "middle"] : ["middle", "high"];
  const percent = ((share < 0.5 ? share : share - 0.5) * 200).toFixed(1);
  return resolveColour(`color-mix(in oklab, var(--ramp-${to}) ${percent}%, var(--ramp-${from}))`);
}
