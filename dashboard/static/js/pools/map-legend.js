// The legend of the map: what its colours mean now, and how many devices have each.
/** @import { MapState, Palette, Reading } from "./types.d.ts" */
import { create } from "../shared/dom.js";

const MAX_REASONS = 3;

/** Title and unit of each reading. @type {Record<Reading, [title: string, unit: string]>} */
export const READINGS = {
  compute: ["Compute", "%"], memory: ["Memory", "%"], bandwidth: ["Bandwidth", "%"], power: ["Power", "W"],
};

/**
 * @param {HTMLElement} legend
 * @param {MapState} state
 * @param {Palette} palette
 */
export function renderLegend(legend, state, palette) {
  legend.replaceChildren(...colourItems(state, palette), ...nodeNotes(state));
}

/** @param {MapState} state @param {Palette} palette @returns {HTMLElement[]} */
function colourItems(state, palette) {
  if (state.colouring === "team") return teamItems(state, palette);
  if (state.colouring === "health") return healthItems(state, palette);
  return readingItems(state, state.colouring, palette);
}

/** @param {MapState} state @param {Palette} palette */
function teamItems({ teams: { named, counts } }, palette) {
  return [
    ...named.map((team) => swatch(palette.teams.get(team) ?? "", `${team} ${counts.get(team)}`)),
    ...(counts.has(null) ? [swatch(palette.otherTeams, `other teams ${counts.get(null)}`)] : []),
    swatch("", `free ${counts.get("") ?? 0}`),
  ];
}

/** @param {MapState} state @param {Palette} palette */
function healthItems({ data }, { tones }) {
  /** @type {[name: string, colour: string][]} */
  const kinds = [["ok", tones.good], ["suspect", tones.warn], ["failed", tones.bad]];
  const count = (/** @type {string} */ name) => data.devices.health.filter((one) => one === name).length;
  return kinds.map(([name, colour]) => swatch(colour, `${name} ${count(name)}`));
}

/** @param {MapState} state @param {Reading} reading @param {Palette} palette */
function readingItems({ data: { devices, reasons } }, reading, palette) {
  const [, unit] = READINGS[reading];
  const bar = create("i", { className: "map-scale" });
  bar.style.background = `linear-gradient(to right, ${palette.scale[0]}, ${palette.scale.at(-1)})`;
  /** @type {Map<number, number>} */
  const absent = new Map();
  for (const value of devices[reading]) if (value < 0) absent.set(value, (absent.get(value) ?? 0) + 1);
  const mostFirst = [...absent].sort((a, b) => b[1] - a[1]).slice(0, MAX_REASONS);
  return [
    text(`0 ${unit}`),
    bar,
    text(reading === "power" ? `${palette.most} ${unit}, the most drawn here` : `100 ${unit}`),
    ...mostFirst.map(([value, count]) => swatch("hatch", `not measured on ${count}: ${reasons[-1 - value]}`)),
  ];
}

/** @param {MapState} state What the marks at nodes mean, where there are any. */
function nodeNotes({ data: { nodes } }) {
  const numClosed = nodes.state.filter((one) => one !== "open").length;
  const closed = numClosed === 1 ? "1 node that takes no work" : `${numClosed} nodes that take no work`;
  return [
    ...(numClosed ? [text(`underlined: ${closed}`)] : []),
    ...(nodes.is_simulated.some(Boolean) ? [text("sim: simulated, no machine stands behind it")] : []),
  ];
}

/** @param {string} colour "": free; "hatch": absent @param {string} name */
function swatch(colour, name) {
  const modifier = colour === "hatch" ? " is-hatched" : colour ? "" : " is-free";
  const mark = create("i", { className: `map-swatch${modifier}` });
  if (colour && colour !== "hatch") mark.style.background = colour;
  const item = text(name);
  item.prepend(mark);
  return item;
}

/** @param {string} content */
const text = (content) => create("span", { textContent: content });
