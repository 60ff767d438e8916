// The map of pools: every device as a cell, a canvas for each pool. Thousands of cells are drawn in a few milliseconds;
// as elements they would take seconds at every new reading.
/** @import { Cell, Colouring, MapData, MapState, PoolCanvas, Reading, Teams } from "./types.d.ts" */
import { closest, context2d, create, findAll, required } from "../shared/dom.js";
import { cellBeyond, deviceAt, layOut } from "./map-layout.js";
import { READINGS, renderLegend } from "./map-legend.js";
import { drawPool, paletteOf } from "./map-renderer.js";

const MIN_GAP_MS = 2000; // between two reads of the whole map
const GAP_FACTOR = 10; // a slow read is followed by a gap of this many times its own time
const DEFAULT_COLOURING = "team";
const root = required(document, "#map");

/**
 * How many devices each team holds. Teams are in the order of their names, so that a team keeps its colour as long as
 * the set of teams is the same.
 * @param {MapData} data
 * @returns {Teams}
 */
function teamsOf({ devices, holders }) {
  /** @type {Map<string | null, number>} */
  const counts = new Map();
  for (const holder of devices.holder) {
    const team = holder < 0 ? "" : holders[holder]?.[2] ?? null;
    counts.set(team, (counts.get(team) ?? 0) + 1);
  }
  const named = [...counts.keys()].flatMap((team) => team || []).sort();
  return { counts, named };
}

/**
 * What is known of a device, as pairs of a name and a value; an absent reading says why.
 * @param {number} device
 * @param {MapData} data
 * @returns {[name: string, value: string][]}
 */
function deviceFacts(device, { devices, nodes, holders, reasons }) {
  const node = devices.node[device];
  const state = nodes.state[node];
  /** @type {[name: string, value: string][]} */
  const facts = [
    [`${nodes.name[node]} #${devices.index[device]}`, state === "open" ? "" : state],
    holderFact(devices.holder[device], holders),
  ];
  if (nodes.is_simulated[node]) facts.push(["simulated", ""]);
  if (devices.health[device] !== "ok") facts.push(["Health", devices.health[device]]);
  for (const [name, [title, unit]] of Object.entries(READINGS)) {
    const value = devices[/** @type {Reading} */ (name)][device];
    facts.push([title, value < 0 ? `not measured (${reasons[-1 - value]})` : `${value} ${unit}`]);
  }
  return facts;
}

/** @param {number} index @param {MapData["holders"]} holders @returns {[name: string, value: string]} */
function holderFact(index, holders) {
  if (index < 0) return ["Free", ""];
  const holder = holders[index];
  return holder ? [holder[0], `${holder[1]}, ${holder[2]}`] : ["Another team's job", ""];
}

/** @param {[name: string, value: string]} fact */
function factRow([name, value]) {
  return create("div", { className: "tip-row" },
    create("span", { className: "tip-name", textContent: name }),
    create("span", { className: "map-value", textContent: value }));
}

class PoolMap {
  constructor() {
    this.tooltip = required(root, ".map-tip");
    this.legend = required(root, "[data-legend]");
    /** @type {MapState | null} */
    this.state = null;
    const colour = new URL(location.href).searchParams.get("colour");
    this.colouring = /** @type {Colouring} */ (colour ?? DEFAULT_COLOURING);
    this.active = -1;
    /** @type {PoolCanvas[]} */
    this.pools = [];
    this.sizes = new ResizeObserver(() => this.draw());
  }

  /** Reads the map. @returns {Promise<number>} how long to wait before the next read, in milliseconds */
  async load() {
    const startedAt = performance.now();
    try {
      const response = await fetch(root.dataset.url ?? "", { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`The server answered ${response.status}.`);
      this.show(await response.json());
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      this.legend.textContent = `The map could not be read: ${reason}`;
    }
    return Math.max(MIN_GAP_MS, GAP_FACTOR * (performance.now() - startedAt));
  }

  /** @param {MapData} data */
  show(data) {
    root.hidden = !data.nodes.id.length;
    this.state = { data, teams: teamsOf(data), colouring: this.colouring, active: this.active };
    const used = [...new Set(data.nodes.pool)];
    if (this.pools.map(({ pool }) => pool).join() !== used.join()) this.createPools(used, data);
    for (const button of findAll(root, "[data-colour]")) {
      button.setAttribute("aria-pressed", String(button.dataset.colour === this.colouring));
    }
    this.draw();
  }

  /** @param {number[]} pools @param {MapData} data */
  createPools(pools, data) {
    this.pools = pools.map((pool) => {
      const canvas = create("canvas", { tabIndex: 0 });
      canvas.setAttribute("role", "application");
      const figure = create("figure", {}, create("figcaption", { textContent: data.pools[pool] }), canvas);
      const layout = layOut(data, pool, figure.clientWidth, context2d(canvas));
      return { pool, canvas, figure, layout };
    });
    required(root, "[data-pools]").replaceChildren(...this.pools.map(({ figure }) => figure));
    for (const pool of this.pools) {
      this.listen(pool);
      this.sizes.observe(pool.figure);
    }
  }

  /** @param {PoolCanvas} pool */
  listen(pool) {
    const { canvas } = pool;
    canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
      this.activate(pool, deviceAt(pool.layout, offsetX, offsetY));
    });
    canvas.addEventListener("pointerleave", () => {
      if (document.activeElement !== canvas) this.activate(pool, -1);
    });
    canvas.addEventListener("click", () => this.openNode());
    canvas.addEventListener("focus", () => {
      if (this.active < 0) this.activate(pool, pool.layout.cells[0]?.device ?? -1, true);
    });
    canvas.addEventListener("blur", () => this.activate(pool, -1));
    canvas.addEventListener("keydown", (event) => this.onKey(pool, event));
  }

  draw() {
    if (!this.state) return;
    const { data } = this.state;
    const palette = paletteOf(this.state);
    renderLegend(this.legend, this.state, palette);
    for (const pool of this.pools) {
      pool.layout = layOut(data, pool.pool, pool.figure.clientWidth, context2d(pool.canvas));
      const { cells, nodes } = pool.layout;
      const numHeld = cells.filter(({ device }) => data.devices.holder[device] >= 0).length;
      const counts = `${nodes.length} nodes, ${numHeld} of ${cells.length} devices held`;
      const keys = "Arrow keys move, Enter opens the node.";
      pool.canvas.setAttribute("aria-label", `Pool ${data.pools[pool.pool]}: ${counts}. ${keys}`);
      drawPool(pool, this.state, palette);
    }
  }

  /**
   * Marks a device and shows what is known of it.
   * @param {PoolCanvas} pool
   * @param {number} device -1: none
   * @param {boolean} [isAnnounced] to screen readers
   */
  activate(pool, device, isAnnounced = false) {
    if (device === this.active || !this.state) return;
    this.active = this.state.active = device;
    this.draw();
    this.tooltip.hidden = device < 0;
    if (device < 0) return;
    const facts = deviceFacts(device, this.state.data);
    this.tooltip.replaceChildren(...facts.map(factRow));
    if (isAnnounced) {
      const text = facts.map((fact) => fact.filter(Boolean).join(" ")).join(", ");
      required(root, "[data-spoken]").textContent = text;
    }
    const cell = pool.layout.cells.find((one) => one.device === device);
    if (cell) this.placeTooltip(pool.canvas, cell);
  }

  /** @param {HTMLCanvasElement} canvas @param {Cell} cell */
  placeTooltip(canvas, cell) {
    const { tooltip } = this;
    const box = canvas.getBoundingClientRect();
    const frame = root.getBoundingClientRect();
    const left = box.left - frame.left + cell.x + cell.size + 10;
    const isTooWide = left + tooltip.offsetWidth > frame.width;
    tooltip.style.left = `${isTooWide ? Math.max(4, left - tooltip.offsetWidth - cell.size - 20) : left}px`;
    tooltip.style.top = `${box.top - frame.top + cell.y + cell.size + 6}px`;
  }

  openNode() {
    if (this.active < 0 || !this.state) return;
    const { devices, nodes } = this.state.data;
    const node = encodeURIComponent(nodes.id[devices.node[this.active]]);
    location.href = (root.dataset.node ?? "").replace("/-/", `/${node}/`);
  }

  /** @param {PoolCanvas} pool @param {KeyboardEvent} event */
  onKey(pool, event) {
    if (event.key === "Enter") this.openNode();
    else {
      const next = nextCell(pool, this.active, event.key);
      if (!next) return;
      this.activate(pool, next.device, true);
      scrollToCell(pool.canvas, next);
    }
    event.preventDefault();
  }

  /** @param {Colouring} colouring */
  colourBy(colouring) {
    if (!this.state) return;
    this.colouring = colouring;
    const url = new URL(location.href);
    if (colouring === DEFAULT_COLOURING) url.searchParams.delete("colour");
    else url.searchParams.set("colour", colouring);
    history.replaceState(null, "", url);
    this.show(this.state.data);
  }
}

/** @param {PoolCanvas} pool @param {number} active @param {string} key @returns {Cell | undefined} Where it leads. */
function nextCell({ layout }, active, key) {
  const { cells } = layout;
  const from = cells.findIndex(({ device }) => device === active);
  /** @type {Record<string, (() => number) | undefined>} */
  const moves = {
    ArrowRight: () => from + 1,
    ArrowLeft: () => from - 1,
    ArrowDown: () => cellBeyond(layout, from, 1),
    ArrowUp: () => cellBeyond(layout, from, -1),
    Home: () => 0,
    End: () => cells.length - 1,
  };
  const move = moves[key];
  return move && cells.length ? cells[Math.min(cells.length - 1, Math.max(0, move()))] : undefined;
}

/** @param {HTMLCanvasElement} canvas @param {Cell} cell */
function scrollToCell(canvas, cell) {
  const top = canvas.getBoundingClientRect().top + cell.y;
  if (top < 80 || top > innerHeight - 120) scrollBy(0, top - innerHeight / 2);
}

const map = new PoolMap();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let isBusy = false; // loading, or waiting until the next read may start
let isDue = false; // something has changed since

async function loadSoon() {
  isDue = document.hidden || isBusy;
  if (isDue) return;
  isBusy = true;
  const pause = await map.load();
  timer = setTimeout(() => {
    isBusy = false;
    if (isDue) loadSoon();
  }, pause);
}

for (const name of ["live:pools", "live:job", "visibilitychange"]) document.addEventListener(name, loadSoon);
document.addEventListener("theme", () => map.draw());
addEventListener("pagehide", () => clearTimeout(timer));
root.addEventListener("click", (event) => {
  const button = closest(event, "[data-colour]");
  if (button) map.colourBy(/** @type {Colouring} */ (button.dataset.colour));
});
loadSoon();
