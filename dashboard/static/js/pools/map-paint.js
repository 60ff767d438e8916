// Colours of the map, its legend, and the drawing of one pool. What was not measured is hatched, never pale.
const STEPS = 10;
const COLOURS = 8; // --series-1 to --series-8, of which the last is for all that have none
const SAYS = {
  draining: "warn", cordoned: "warn", drained: "calm", maintenance: "calm", suspect: "warn", unreachable: "bad", failed: "bad",
};

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function inks({ data, colour, teams }) {
  const look = { ink: token("ink"), soft: token("ink-2"), quiet: token("ink-3"), line: token("line-strong"), surface: token("surface") };
  for (const name of ["good", "warn", "bad", "calm"]) look[name] = token(name);
  look.team = new Map(teams.named.map((team, index) => [team, token(`series-${Math.min(COLOURS, index + 1)}`)]));
  look.other = token("series-8");
  const [from, to] = [token("line"), token("series-1")];
  look.scale = Array.from({ length: STEPS + 1 }, (_, step) => `color-mix(in srgb, ${to} ${step * 100 / STEPS}%, ${from})`);
  look.most = colour === "power" ? Math.max(1, ...data.devices.power) : 100;
  look.hatch = hatch(look.line);
  return look;
}

function hatch(colour) {
  const tile = Object.assign(document.createElement("canvas"), { width: 6, height: 6 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1.2;
  for (const shift of [-6, 0, 6]) { pen.moveTo(shift, 6); pen.lineTo(shift + 6, 0); }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

// null: free, drawn as an empty frame.
function fillOf(device, { data, colour }, look) {
  const { devices, holders } = data;
  if (colour === "health") return { ok: look.good, suspect: look.warn, failed: look.bad }[devices.health[device]];
  if (colour === "team") {
    const holder = devices.holder[device];
    return holder < 0 ? null : look.team.get(holders[holder]?.[2]) ?? look.other;
  }
  const value = devices[colour][device];
  return value < 0 ? look.hatch : look.scale[Math.round(Math.min(1, value / look.most) * STEPS)];
}

export function paint({ canvas, layout, figure }, state, look) {
  const ratio = devicePixelRatio || 1;
  const width = figure.clientWidth;
  Object.assign(canvas, { width: width * ratio, height: layout.height * ratio });
  Object.assign(canvas.style, { width: `${width}px`, height: `${layout.height}px` });
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = layout.font;
  pen.textBaseline = "middle";
  for (const place of layout.nodes) label(pen, place, layout, state.data.nodes, look);
  const { holder } = state.data.devices;
  const same = state.active >= 0 && holder[state.active] >= 0 ? holder[state.active] : null;
  for (const cell of layout.cells) {
    drawCell(pen, cell, fillOf(cell.device, state, look), state.data.devices.health[cell.device], look);
    if (cell.device === state.active || (same !== null && holder[cell.device] === same)) frame(pen, cell, look.ink, cell.device === state.active ? 2 : 1);
  }
}

function label(pen, place, layout, nodes, look) {
  const says = SAYS[nodes.state[place.node]];
  pen.fillStyle = says ? look[says] : look.soft;
  const name = (nodes.is_simulated[place.node] ? "sim " : "") + nodes.name[place.node];
  pen.fillText(clipped(pen, name, place.width), place.x, place.y + 2 + layout.size / 2);
  if (!says) return;
  // A line under the devices, so that colour does not speak alone; whole where the node is lost, dashed where a person wants it.
  const y = place.y + 2 + layout.size + 2;
  pen.strokeStyle = look[says];
  pen.lineWidth = 1.5;
  pen.setLineDash(says === "bad" ? [] : [4, 3]);
  pen.beginPath();
  pen.moveTo(place.x, y);
  pen.lineTo(place.x + layout.label + Math.min(layout.inLine, place.count) * layout.step - 2, y);
  pen.stroke();
  pen.setLineDash([]);
}

function clipped(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`…${text.slice(-end)}`).width > width) end -= 1;
  return `…${text.slice(-end)}`; // the end of a node's name tells it from the others
}

function drawCell(pen, { x, y, size }, fill, health, look) {
  pen.beginPath();
  pen.roundRect(x + 0.5, y + 0.5, size - 1, size - 1, size > 12 ? 3 : 2);
  if (fill) { pen.fillStyle = fill; pen.fill(); }
  if (!fill || fill === look.hatch) { pen.strokeStyle = look.line; pen.lineWidth = 1; pen.stroke(); }
  if (health === "ok") return;
  pen.strokeStyle = look.surface;
  pen.lineWidth = 3;
  cross(pen, x, y, size, health);
  pen.strokeStyle = health === "failed" ? look.bad : look.warn;
  pen.lineWidth = 1.6;
  cross(pen, x, y, size, health);
}

// Suspect: one stroke. Failed: crossed out.
function cross(pen, x, y, size, health) {
  pen.beginPath();
  pen.moveTo(x + 2, y + size - 2);
  pen.lineTo(x + size - 2, y + 2);
  if (health === "failed") { pen.moveTo(x + 2, y + 2); pen.lineTo(x + size - 2, y + size - 2); }
  pen.stroke();
}

function frame(pen, { x, y, size }, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.roundRect(x - 1, y - 1, size + 2, size + 2, 3);
  pen.stroke();
}

export function legendOf(place, state, look, limits) {
  const { data, colour, teams } = state;
  const parts = [];
  if (colour === "team") {
    for (const team of teams.named) parts.push(swatch(look.team.get(team), `${team} ${teams.counts.get(team)}`));
    if (teams.counts.has(null)) parts.push(swatch(look.other, `other teams ${teams.counts.get(null)}`));
    parts.push(swatch("", `free ${teams.counts.get("") ?? 0}`));
  } else if (colour === "health") {
    for (const [name, ink] of [["ok", look.good], ["suspect", look.warn], ["failed", look.bad]]) parts.push(swatch(ink, `${name} ${data.devices.health.filter((one) => one === name).length}`));
  } else parts.push(...scaleOf(data, colour, look, limits[colour]));
  const away = data.nodes.state.filter((one) => one !== "open").length;
  if (away) parts.push(text(`underlined: ${away} node${away === 1 ? "" : "s"} that take${away === 1 ? "s" : ""} no work`));
  if (data.nodes.is_simulated.some(Boolean)) parts.push(text("sim: simulated, no machine stands behind it"));
  place.replaceChildren(...parts);
}

function scaleOf({ devices, reasons }, colour, look, [, unit]) {
  const bar = document.createElement("i");
  bar.className = "map-scale";
  bar.style.background = `linear-gradient(to right, ${look.scale[0]}, ${look.scale.at(-1)})`;
  const parts = [text(`0 ${unit}`), bar, text(colour === "power" ? `${look.most} ${unit}, the most drawn here` : `100 ${unit}`)];
  const counts = new Map();
  for (const value of devices[colour]) if (value < 0) counts.set(value, (counts.get(value) ?? 0) + 1);
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1]).slice(0, 3)) parts.push(swatch("hatch", `not measured on ${count}: ${reasons[-1 - value]}`));
  return parts;
}

function swatch(ink, name) {
  const item = text(name);
  const mark = document.createElement("i");
  mark.className = `map-swatch${ink === "hatch" ? " is-hatched" : ink ? "" : " is-free"}`;
  if (ink && ink !== "hatch") mark.style.background = ink;
  item.prepend(mark);
  return item;
}

const text = (said) => Object.assign(document.createElement("span"), { textContent: said });
