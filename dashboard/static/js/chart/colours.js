// Colours as every canvas and file understands them; they change with the theme.
import { context2d } from "../shared/dom.js";

const NUM_SERIES_COLOURS = 8; // --series-1 to --series-8 of css/tokens.css

/** @type {Map<string, string>} */
const hexColours = new Map();
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = context2d(canvas, { willReadFrequently: true });

/**
 * The value of a CSS variable in the theme that is shown.
 * @param {string} name such as `--ink`
 * @returns {string}
 */
export function cssVariable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * A CSS colour, variables included, as #rrggbb of the theme that is shown.
 * @param {string} colour
 * @returns {string}
 */
export function resolveColour(colour) {
  const key = `${document.documentElement.dataset.bsTheme} ${colour}`;
  let hex = hexColours.get(key);
  if (hex === undefined) {
    hex = hexOf(colour);
    hexColours.set(key, hex);
  }
  return hex;
}

/**
 * The colour of the series with this index; the colours repeat.
 * @param {number} index
 * @returns {string}
 */
export const seriesColour = (index) => resolveColour(`var(--series-${(index % NUM_SERIES_COLOURS) + 1})`);

/** @param {string} colour */
function hexOf(colour) {
  const probe = document.createElement("i");
  probe.style.color = colour;
  document.body.append(probe);
  context.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
