// Colours of the map, and the drawing of one pool. A reading that is absent is hatched, never pale.
/** @import { Cell, Layout, MapState, NodePlace, Palette, PoolCanvas, Tone } from "./types.d.ts" */
import { cssVariable } from "../chart/colours.js";
import { context2d, create } from "../shared/dom.js";

const NUM_STEPS = 10; // of the scale of readings
const NUM_TEAM_COLOURS = 8; // --series-1 to --series-8; teams beyond share the last one
const PER_CENT = 100;
const HATCH_PX = 6;

/** @type {Record<string, Tone | undefined>} Node states that keep work away. */
const STATE_TONES = {
  draining: "warn", cordoned: "warn", drained: "calm", maintenance: "calm", stopped: "calm", suspect: "warn",
  unreachable: "bad", failed: "bad",
};

/**
 * @param {MapState} state
 * @returns {Palette}
 */
export function paletteOf({ data, colouring, teams }) {
  const line = cssVariable("--line-strong");
  const [from, to] = [cssVariable("--line"), cssVariable("--series-1")];
  const teamColour = (/** @type {number} */ index) => cssVariable(`--series-${Math.min(NUM_TEAM_COLOURS, index + 1)}`);
  return {
    ink: cssVariable("--ink"),
    soft: cssVariable("--ink-2"),
    line,
    surface: cssVariable("--surface"),
    tones: {
      good: cssVariable("--good"), warn: cssVariable("--warn"), bad: cssVariable("--bad"), calm: cssVariable("--calm"),
    },
    teams: new Map(teams.named.map((team, index) => [team, teamColour(index)])),
    otherTeams: cssVariable(`--series-${NUM_TEAM_COLOURS}`),
    scale: Array.from({ length: NUM_STEPS + 1 }, (_, step) =>
      `color-mix(in srgb, ${to} ${step * PER_CENT / NUM_STEPS}%, ${from})`),
    most: colouring === "power" ? Math.max(1, ...data.devices.power) : PER_CENT,
    hatch: hatchPattern(line),
  };
}

/** @param {string} colour */
function hatchPattern(colour) {
  const tile = create("canvas", { width: HATCH_PX, height: HATCH_PX });
  const context = context2d(tile);
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  for (const shift of [-HATCH_PX, 0, HATCH_PX]) {
    context.moveTo(shift, HATCH_PX);
    context.lineTo(shift + HATCH_PX, 0);
  }
  context.stroke();
  return context.createPattern(tile, "repeat");
}

/** @param {number} device @param {MapState} state @param {Palette} palette Null: free, drawn as an empty frame. */
function fillOf(device, { data, colouring }, palette) {
  const { devices, holders } = data;
  if (colouring === "health") {
    return { ok: palette.tones.good, suspect: palette.tones.warn, failed: palette.tones.bad }[devices.health[device]];
  }
  if (colouring === "team") {
    const holder = devices.holder[device];
    return holder < 0 ? null : palette.teams.get(holders[holder]?.[2] ?? null) ?? palette.otherTeams;
  }
  const value = devices[colouring][device];
  return value < 0 ? palette.hatch : palette.scale[Math.round(Math.min(1, value / palette.most) * NUM_STEPS)];
}

/**
 * Draws one pool; the devices of the job that holds the active one are framed.
 * @param {PoolCanvas} pool
 * @param {MapState} state
 * @param {Palette} palette
 */
export function drawPool({ canvas, layout, figure }, state, palette) {
  const ratio = devicePixelRatio || 1;
  const width = figure.clientWidth;
  Object.assign(canvas, { width: width * ratio, height: layout.height * ratio });
  Object.assign(canvas.style, { width: `${width}px`, height: `${layout.height}px` });
  const context = context2d(canvas);
  context.scale(ratio, ratio);
  context.font = layout.font;
  context.textBaseline = "middle";
  for (const place of layout.nodes) drawNode(context, place, layout, state, palette);
  const { holder, health } = state.data.devices;
  const activeHolder = state.active >= 0 ? holder[state.active] : -1;
  for (const cell of layout.cells) {
    drawCell(context, cell, fillOf(cell.device, state, palette), health[cell.device], palette);
    const isActive = cell.device === state.active;
    const isSameJob = activeHolder >= 0 && holder[cell.device] === activeHolder;
    if (isActive || isSameJob) frameCell(context, cell, palette.ink, isActive ? 2 : 1);
  }
}

/**
 * The name of a node. A line under its devices says that it takes no work, so that colour does not say it alone: solid
 * where the node is lost, dashed where a person wants it so.
 * @param {CanvasRenderingContext2D} context
 * @param {NodePlace} place
 * @param {Layout} layout
 * @param {MapState} state
 * @param {Palette} palette
 */
function drawNode(context, place, layout, { data: { nodes } }, palette) {
  const tone = STATE_TONES[nodes.state[place.node]];
  context.fillStyle = tone ? palette.tones[tone] : palette.soft;
  const name = (nodes.is_simulated[place.node] ? "sim " : "") + nodes.name[place.node];
  context.fillText(withoutStart(context, name, place.width), place.x, place.y + 2 + layout.size / 2);
  if (!tone) return;
  const y = place.y + 2 + layout.size + 2;
  context.strokeStyle = palette.tones[tone];
  context.lineWidth = 1.5;
  context.setLineDash(tone === "bad" ? [] : [4, 3]);
  context.beginPath();
  context.moveTo(place.x, y);
  context.lineTo(place.x + layout.label + Math.min(layout.perLine, place.count) * layout.step - 2, y);
  context.stroke();
  context.setLineDash([]);
}

/**
 * A text cut to a width at its start, as the end of a node's name tells it from the others.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} width
 */
function withoutStart(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`…${text.slice(-end)}`).width > width) end -= 1;
  return `…${text.slice(-end)}`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Cell} cell
 * @param {string | CanvasPattern | null} fill
 * @param {string} health
 * @param {Palette} palette
 */
function drawCell(context, { x, y, size }, fill, health, palette) {
  context.beginPath();
  context.roundRect(x + 0.5, y + 0.5, size - 1, size - 1, size > 12 ? 3 : 2);
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  if (!fill || fill === palette.hatch) {
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.stroke();
  }
  if (health === "ok") return;
  context.strokeStyle = palette.surface;
  context.lineWidth = 3;
  strokeCross(context, x, y, size, health);
  context.strokeStyle = health === "failed" ? palette.tones.bad : palette.tones.warn;
  context.lineWidth = 1.6;
  strokeCross(context, x, y, size, health);
}

/**
 * Suspect: one stroke. Failed: crossed out.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @param {string} health
 */
function strokeCross(context, x, y, size, health) {
  context.beginPath();
  context.moveTo(x + 2, y + size - 2);
  context.lineTo(x + size - 2, y + 2);
  if (health === "failed") {
    context.moveTo(x + 2, y + 2);
    context.lineTo(x + size - 2, y + size - 2);
  }
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {Cell} cell @param {string} colour @param {number} width */
function frameCell(context, { x, y, size }, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.roundRect(x - 1, y - 1, size + 2, size + 2, 3);
  context.stroke();
}
