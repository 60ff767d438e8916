// The trade-offs page: two pictures and a table of the same runs. Runs that are left out in one are left out in all.
/** @import { Axis, Goal, Point, RunRow, TradeoffData, TradeoffState } from "./types.d.ts" */
import { closest, create, readJson, required } from "../shared/dom.js";
import { startFieldForm } from "./field-form.js";
import { renderTable, scaleOf, shownFields, swatch, valueElement } from "./kept-table.js";
import { Parallel } from "./parallel.js";
import { Scatter } from "./scatter.js";
import { readBrushes, writeAddress } from "./tradeoffs-address.js";

const MAX_COMPARED = 200;
const NO_COLOUR = "--ink-3"; // of a run without a value for the colour
const GAP_PX = 14; // between the pointer and the tooltip
const GOAL_TEXTS = { low: "less is better", high: "more is better" };

/**
 * A colour for a place between 0 and 1: from one hue to another, and lighter, so that it reads without colour too.
 * @param {number} at
 */
const blend = (at) => `oklch(${0.52 + 0.26 * at} 0.15 ${265 - 205 * at})`;

/** @param {TradeoffData} data @param {number} x @param {number} y @returns {TradeoffState} */
function initialState(data, x, y) {
  const query = new URL(location.href).searchParams;
  const goal = (/** @type {Axis} */ axis, /** @type {number} */ field) =>
    /** @type {Goal | null} */ (query.get(`${axis}best`)) ?? data.fields[field].best;
  const state = {
    ...data,
    x,
    y,
    kept: new Set(data.rows.map((row) => row.id)),
    brushes: readBrushes(query, data),
    boxed: null,
    hovered: null,
    best: { x: goal("x", x), y: goal("y", y) },
    log: { x: query.has("xlog"), y: query.has("ylog") },
    stroke: (/** @type {RunRow} */ row) => row.stroke,
  };
  const { colour } = data;
  if (colour === null) return state;
  const scale = scaleOf(state, colour);
  const stroke = (/** @type {RunRow} */ row) => {
    const at = scale.place(row.values[colour]);
    return at === null ? NO_COLOUR : blend(at);
  };
  return { ...state, stroke };
}

class TradeoffsPage {
  /** @param {TradeoffState} state */
  constructor(state) {
    this.state = state;
    const [scatterArea, parallelArea] = [required(document, "[data-scatter]"), required(document, "[data-parallel]")];
    this.tooltip = create("div", { className: "tip", hidden: true });
    const onOpen = (/** @type {RunRow} */ row) => {
      location.href = row.url;
    };
    this.scatter = new Scatter(scatterArea, state, {
      onOpen,
      onHover: (row, at) => this.showTooltip(row, at, scatterArea),
      onBox: (ids) => {
        state.boxed = new Set(ids);
        this.filter();
      },
    });
    this.parallel = new Parallel(parallelArea, state, {
      onOpen,
      onHover: (row, at) => this.showTooltip(row, at, parallelArea),
      onBrush: () => this.filter(),
    });
  }

  start() {
    document.addEventListener("click", (event) => this.onClick(event));
    this.redraw();
    if (this.state.brushes.size) afterDrawing(() => this.filter());
  }

  /** Keeps the runs within the rectangle and all ranges. */
  filter() {
    const { rows, boxed } = this.state;
    const kept = rows.filter((row) => (!boxed || boxed.has(row.id)) && this.parallel.isWithin(row));
    this.state.kept = new Set(kept.map((row) => row.id));
    writeAddress(this.state);
    this.redraw();
  }

  redraw() {
    this.scatter.redraw();
    this.parallel.redraw();
    afterDrawing(() => this.showNumbers());
  }

  /** What the texts and controls around the pictures show. */
  showNumbers() {
    const { state, scatter } = this;
    const isCut = state.kept.size < state.rows.length;
    required(document, "[data-scatter-note]").textContent = frontNote(state, scatter);
    required(document, "[data-kept]").textContent = isCut
      ? `${state.kept.size} of ${state.rows.length} runs kept.`
      : "Drag along an axis, or over the points above, to keep some runs.";
    required(document, "[data-clear]").hidden = !isCut && !state.brushes.size;
    renderTable(state, scatter.front, (id) => this.hover(id));
    const compare = required(document, "[data-compare]", HTMLAnchorElement);
    const address = new URL(compare.href);
    address.search = "";
    for (const id of [...state.kept].slice(0, MAX_COMPARED)) address.searchParams.append("run", id);
    compare.href = address.href;
    const isMany = state.kept.size > MAX_COMPARED;
    required(compare, "[data-count]").textContent = isMany ? `${MAX_COMPARED} of ${state.kept.size}` : "";
    for (const axis of /** @type {const} */ (["x", "y"])) {
      required(document, `[data-best=${axis}]`).textContent = GOAL_TEXTS[state.best[axis]];
      required(document, `[data-log=${axis}]`).setAttribute("aria-pressed", String(state.log[axis]));
    }
  }

  /** @param {string | null} id The run whose line stands out. */
  hover(id) {
    this.state.hovered = id;
    this.parallel.redraw();
  }

  /** @param {RunRow | null} row @param {Point | null} at @param {HTMLElement} area */
  showTooltip(row, at, area) {
    const { state, tooltip } = this;
    if (state.hovered !== (row?.id ?? null)) this.hover(row?.id ?? null);
    tooltip.hidden = !row || !at;
    if (!row || !at) return;
    const lines = shownFields(state).map((field) => create("div", { className: "tip-row" },
      create("span", { className: "tip-name" }, state.fields[field].label),
      valueElement("span", row.values[field], scaleOf(state, field), "tip-value")));
    tooltip.replaceChildren(create("b", {}, row.name), ...lines);
    area.append(tooltip);
    const isRight = at.left > area.clientWidth / 2;
    const left = isRight ? at.left - tooltip.offsetWidth - GAP_PX : at.left + GAP_PX;
    tooltip.style.left = `${Math.max(4, left)}px`;
    tooltip.style.top = `${Math.max(4, Math.min(at.top, area.clientHeight - tooltip.offsetHeight - 4))}px`;
  }

  /** @param {Event} event */
  onClick(event) {
    const button = closest(event, "[data-best], [data-log], [data-clear]");
    if (!button) return;
    const { state } = this;
    const best = /** @type {Axis | undefined} */ (button.dataset.best);
    const log = /** @type {Axis | undefined} */ (button.dataset.log);
    if (best) state.best[best] = state.best[best] === "low" ? "high" : "low";
    else if (log) state.log[log] = !state.log[log];
    else {
      state.brushes.clear();
      state.boxed = null;
    }
    this.filter();
  }
}

/** @param {() => void} action Runs once the canvases have been drawn, which takes the next frame. */
function afterDrawing(action) {
  requestAnimationFrame(() => requestAnimationFrame(action));
}

/** @param {TradeoffState} state @param {Scatter} scatter */
function frontNote({ rows, kept }, { front, points }) {
  const numMissing = rows.length - points.length;
  const missing = `${numMissing} run${numMissing === 1 ? " has" : "s have"}`;
  return [
    front.size ? `${front.size} of ${kept.size} Pareto-optimal: no other run is better in both.` : "",
    numMissing ? `${missing} no finite value for one of the two and cannot be placed.` : "",
  ].filter(Boolean).join(" ");
}

/** @param {TradeoffState} state @param {number | null} field The legend of the colours, where they are a field's. */
function showColours(state, field) {
  if (field === null) return;
  const items = scaleOf(state, field).ticks.map(({ at, text }) => create("span", {}, swatch(blend(at)), " ", text));
  required(document, "[data-colours]").replaceChildren(...items);
}

startFieldForm(new URL(location.href).searchParams);
/** @type {TradeoffData} */
const data = readJson("tradeoffs-data");
if (data.rows.length && data.x !== null && data.y !== null) {
  const state = initialState(data, data.x, data.y);
  showColours(state, data.colour);
  new TradeoffsPage(state).start();
}
