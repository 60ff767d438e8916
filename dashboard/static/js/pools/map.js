// The map of pools: every device as a cell, a canvas for each pool. Thousands of cells are drawn in a few milliseconds;
// as elements they would take seconds whenever a reading changes.
import { layOut } from "./map-layout.js";
import { inks, legendOf, paint } from "./map-paint.js";

const GAP_MS = 2000; // between two readings of the whole map at least; a slow one is given ten times its own time
const LIMITS = { compute: ["Compute", "%"], memory: ["Memory", "%"], bandwidth: ["Bandwidth", "%"], power: ["Power", "W"] };
const root = document.getElementById("map");
const tip = root.querySelector(".map-tip");
const state = { data: null, colour: new URL(location.href).searchParams.get("colour") ?? "team", active: -1 };
const charts = [];

async function load() {
  const began = performance.now();
  try {
    const answer = await fetch(root.dataset.url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    state.data = await answer.json();
    show();
  } catch (error) {
    root.querySelector("[data-legend]").textContent = `The map could not be read: ${error.message}`;
  }
  return Math.max(GAP_MS, 10 * (performance.now() - began));
}

let timer = null;
let isBusy = false;
let isOwed = false;
async function soon() {
  if (document.hidden || isBusy) { isOwed = true; return; }
  isBusy = true;
  isOwed = false;
  const pause = await load();
  timer = setTimeout(() => { isBusy = false; if (isOwed) soon(); }, pause);
}
for (const name of ["live:pools", "live:job", "visibilitychange"]) document.addEventListener(name, soon);
addEventListener("pagehide", () => clearTimeout(timer));

function show() {
  const { data } = state;
  root.hidden = !data.nodes.id.length;
  state.teams = teamsOf(data);
  const used = [...new Set(data.nodes.pool)];
  if (charts.map((chart) => chart.pool).join() !== used.join()) makeCharts(used);
  for (const button of root.querySelectorAll("[data-colour]")) button.setAttribute("aria-pressed", String(button.dataset.colour === state.colour));
  draw();
}

// Those that hold most have the colours; a team keeps its colour as long as the set of teams is the same.
function teamsOf({ devices, holders }) {
  const counts = new Map();
  for (const holder of devices.holder) {
    const team = holder < 0 ? "" : holders[holder]?.[2] ?? null;
    counts.set(team, (counts.get(team) ?? 0) + 1);
  }
  const named = [...counts.keys()].filter(Boolean).sort();
  return { counts, named };
}

function makeCharts(pools) {
  const place = root.querySelector("[data-pools]");
  place.replaceChildren();
  charts.length = 0;
  for (const pool of pools) {
    const figure = document.createElement("figure");
    const title = Object.assign(document.createElement("figcaption"), { textContent: state.data.pools[pool] });
    const canvas = Object.assign(document.createElement("canvas"), { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    figure.append(title, canvas);
    place.append(figure);
    const chart = { pool, canvas, figure, layout: null };
    charts.push(chart);
    canvas.addEventListener("pointermove", (event) => point(chart, chart.layout.at(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => document.activeElement !== canvas && point(chart, -1));
    canvas.addEventListener("click", () => open(state.active));
    canvas.addEventListener("focus", () => state.active < 0 && point(chart, chart.layout.cells[0]?.device ?? -1, true));
    canvas.addEventListener("blur", () => point(chart, -1));
    canvas.addEventListener("keydown", (event) => key(chart, event));
    sizes.observe(figure);
  }
}
const sizes = new ResizeObserver(() => state.data && draw());
document.addEventListener("theme", () => state.data && draw());

function draw() {
  const look = inks(state);
  legendOf(root.querySelector("[data-legend]"), state, look, LIMITS);
  for (const chart of charts) {
    chart.layout = layOut(state.data, chart.pool, chart.figure.clientWidth, chart.canvas.getContext("2d"));
    const { length } = chart.layout.cells;
    const held = chart.layout.cells.filter(({ device }) => state.data.devices.holder[device] >= 0).length;
    chart.canvas.setAttribute("aria-label", `Pool ${state.data.pools[chart.pool]}: ${chart.layout.nodes.length} nodes, ${held} of ${length} devices held. Arrow keys move, Enter opens the node.`);
    paint(chart, state, look);
  }
}

function point(chart, device, isSpoken = false) {
  if (device === state.active) return;
  state.active = device;
  draw();
  tip.hidden = device < 0;
  if (device < 0) return;
  const lines = told(device);
  tip.replaceChildren(...lines.map(([name, value]) => row(name, value)));
  if (isSpoken) root.querySelector("[data-spoken]").textContent = lines.map((line) => line.filter(Boolean).join(" ")).join(", ");
  const cell = chart.layout.cells.find((one) => one.device === device);
  const box = chart.canvas.getBoundingClientRect();
  const frame = root.getBoundingClientRect();
  const left = box.left - frame.left + cell.x + cell.size + 10;
  tip.style.left = `${left + tip.offsetWidth > frame.width ? Math.max(4, left - tip.offsetWidth - cell.size - 20) : left}px`;
  tip.style.top = `${box.top - frame.top + cell.y + cell.size + 6}px`;
}

// What is known of a device, line by line; what was not measured says why.
function told(device) {
  const { devices, nodes, holders, reasons } = state.data;
  const node = devices.node[device];
  const holder = devices.holder[device];
  const whose = holder < 0 ? ["Free", ""] : holders[holder] ? [holders[holder][0], `${holders[holder][1]}, ${holders[holder][2]}`] : ["Another team's job", ""];
  const lines = [[`${nodes.name[node]} #${devices.index[device]}`, nodes.state[node] === "open" ? "" : nodes.state[node]], whose];
  if (nodes.is_simulated[node]) lines.push(["simulated", ""]);
  if (devices.health[device] !== "ok") lines.push(["Health", devices.health[device]]);
  for (const [name, [title, unit]] of Object.entries(LIMITS)) {
    const value = devices[name][device];
    lines.push([title, value < 0 ? `not measured (${reasons[-1 - value]})` : `${value} ${unit}`]);
  }
  return lines;
}

function row(name, value) {
  const line = Object.assign(document.createElement("div"), { className: "tip-row" });
  line.append(Object.assign(document.createElement("span"), { className: "tip-name", textContent: name }), Object.assign(document.createElement("span"), { className: "map-value", textContent: value }));
  return line;
}

function open(device) {
  if (device < 0) return;
  const { devices, nodes } = state.data;
  location.href = root.dataset.node.replace("/-/", `/${encodeURIComponent(nodes.id[devices.node[device]])}/`);
}

function key(chart, event) {
  const { cells } = chart.layout;
  const at = cells.findIndex(({ device }) => device === state.active);
  const to = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => chart.layout.beside(at, 1), ArrowUp: () => chart.layout.beside(at, -1), Home: () => 0, End: () => cells.length - 1 }[event.key];
  if (event.key === "Enter") open(state.active);
  else if (to && cells.length) {
    const next = cells[Math.min(cells.length - 1, Math.max(0, to()))];
    point(chart, next.device, true);
    scrollTo(chart, next);
  } else return;
  event.preventDefault();
}

function scrollTo(chart, cell) {
  const top = chart.canvas.getBoundingClientRect().top + cell.y;
  if (top < 80 || top > innerHeight - 120) scrollBy(0, top - innerHeight / 2);
}

root.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-colour]");
  if (!button || !state.data) return;
  state.colour = button.dataset.colour;
  const url = new URL(location.href);
  state.colour === "team" ? url.searchParams.delete("colour") : url.searchParams.set("colour", state.colour);
  history.replaceState(null, "", url);
  show();
});

soon();
