// One chart: a uPlot canvas with its legend, tooltip, keyboard cursor and marks.
import { exact, metric, position } from "./format.js";
import { followFingers } from "./fingers.js";
import { aligned } from "./plot-data.js";
import { increments, logRange, logTexts, tickTexts } from "./ticks.js";

const DASHES = [[], [7, 4], [2, 3], [10, 4, 2, 4], [4, 2], [1, 2]];
const COLOURS = 8;
const X_UNITS = { step: "step", tokens: "tokens", relative: "s" };

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const colour = (index) => token(`--series-${(index % COLOURS) + 1}`);
export const dash = (index) => DASHES[index % DASHES.length];

const faded = (hex, share) => `${hex}${Math.round(share * 255).toString(16).padStart(2, "0")}`;

// panel: {holder, legend, tooltip, spoken, unit, kind, floor, ceiling, label(series), style(series, index)}
// page: {onZoom(lo, hi), onReset()}; what it returns stands at the end
export function makeChart(panel, page) {
  let plot = null;
  let current = null; // {list, look, columns, data}
  let shape = "";
  const hidden = new Set();

  function draw(list, look) {
    const made = aligned(list, { kind: panel.kind, log: look.log, smoothing: look.smoothing });
    const next = JSON.stringify([made.columns.map((column) => [column.series.run, column.series.metric, column.series.source, column.role]), look, document.documentElement.dataset.bsTheme]);
    current = { list, look, ...made };
    if (plot && next === shape) plot.setData(made.data);
    else build(made, look);
    shape = next;
    writeLegend(null);
  }

  const logBase = panel.unit.startsWith("bytes") ? 2 : 10;

  function build(made, look) {
    plot?.destroy();
    plot = new uPlot(options(made, look), made.data, panel.holder);
    plot.over.append(panel.tooltip);
    followFingers(plot.over, {
      valueAt: (left) => plot.posToVal(left, "x"),
      cursor: (left) => { panel.holder.focus({ preventScroll: true }); plot.setCursor({ left, top: plot.over.clientHeight / 3 }); },
      preview: (min, max) => plot.setScale("x", { min, max }),
      settle: page.onZoom,
    });
  }

  function options(made, look) {
    const ink = token("--ink-3");
    const axis = { stroke: ink, grid: { stroke: token("--grid"), width: 1 }, ticks: { show: false }, font: '11px "Inter", sans-serif' };
    const isTime = look.x === "time";
    return {
      width: Math.max(50, panel.holder.clientWidth), height: panel.holder.clientHeight, legend: { show: false }, padding: [12, 14, 0, 0],
      scales: {
        x: { time: isTime },
        y: look.log ? { distr: 3, log: logBase, range: (_, low, high) => logRange(low, high, logBase) } : { range: (_, low, high) => yRange(low, high) },
      },
      axes: [
        isTime ? { ...axis, size: 30, space: 70 } : { ...axis, ...ticksOf(X_UNITS[look.x]), size: 30, space: xSpace },
        { ...axis, ...(look.log ? { values: (_, splits) => logTexts(splits, panel.unit) } : ticksOf(panel.unit)), size: 68, space: 34 },
      ],
      series: [{}, ...made.columns.map((column) => lineOf(column))],
      bands: made.bands.map(([upper, lower, index]) => ({ series: [upper, lower], fill: faded(strokeOf(made.columns[upper - 1].series, index), panel.kind === "stack" ? 0.55 : 0.2 / Math.sqrt(made.bands.length)) })),
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, focus: { prox: 24 },
        sync: { key: `headroom-${look.x}`, setSeries: false, filters: { pub: (kind) => kind === "mousemove" || kind === "mouseleave" } },
        bind: { dblclick: () => () => { page.onReset(); return null; } },
      },
      hooks: {
        setCursor: [(u) => showValues(u)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          page.onZoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        draw: [drawBorders, drawOdd],
      },
    };
  }

  const ticksOf = (unit) => ({ incrs: increments(unit), values: (_, splits, axis, space, step) => tickTexts(splits, unit, step) });
  // Longer texts need more room from one to the next.
  const xSpace = (_, axis, low, high) => (Math.abs(high) >= 3600 || high - low < 10 ? 78 : 52);
  const strokeOf = (series, index) => colour(panel.style(series, index).colour);

  function lineOf({ series, index, role }) {
    const stroke = strokeOf(series, index);
    const base = { show: !hidden.has(index), spanGaps: false, points: { show: false } };
    // The edges of a band are drawn too: a single step that stands out fills no area that could be seen.
    if (role === "low" || role === "high") return { ...base, stroke: faded(stroke, 0.45 / Math.sqrt(current.bands.length)), width: 1 };
    if (role === "faint") return { ...base, stroke: faded(stroke, 0.3), width: 1 };
    if (role === "area") return { ...base, stroke, width: 1, fill: index === 0 ? faded(stroke, 0.55) : undefined };
    const few = series.is_raw && series.x.length <= 40;
    return { ...base, stroke, width: 1.6, dash: dash(panel.style(series, index).dash), points: { show: few, size: 4, fill: stroke } };
  }

  function yRange(low, high) {
    if (low === null) return [panel.floor ?? 0, panel.ceiling ?? 1];
    const bottom = panel.floor ?? low;
    const pad = (high - bottom || Math.abs(high) || 1) * 0.08;
    return [panel.floor === null ? low - pad : Math.min(panel.floor, low), panel.ceiling === null ? high + pad : Math.max(panel.ceiling, high)];
  }

  // Where a later attempt begins, and why there is one: from there on other devices may have worked.
  function drawBorders(u) {
    const places = new Map(current.list.flatMap((series) => series.borders.map((place, index) => [place, series.border_attempts[index]])));
    vertical(u, [...places.keys()], token("--ink-3"), [4, 4]);
    if (panel.border) nameBorders(u, [...places].sort((a, b) => a[0] - b[0]));
  }

  // A name on the side where there is more room, or the number of the attempt, or nothing.
  function nameBorders(u, places) {
    const { ctx, bbox } = u;
    const gap = 5 * devicePixelRatio;
    ctx.save();
    ctx.font = `${10 * devicePixelRatio}px "Inter", sans-serif`;
    ctx.fillStyle = token("--ink-2");
    ctx.textBaseline = "top";
    const xs = [bbox.left, ...places.map(([place]) => u.valToPos(place, "x", true)), bbox.left + bbox.width];
    places.forEach(([place, attempt], index) => {
      if (place < u.scales.x.min || place > u.scales.x.max) return;
      const x = xs[index + 1];
      const room = { right: Math.min(xs[index + 2], xs.at(-1)) - x - 2 * gap, left: x - Math.max(xs[index], xs[0]) - 2 * gap };
      const isRight = room.right >= room.left;
      const text = [panel.border(attempt), String(attempt)].find((one) => ctx.measureText(one).width < Math.max(room.left, room.right));
      ctx.textAlign = isRight ? "left" : "right";
      if (text) ctx.fillText(text, x + (isRight ? gap : -gap), bbox.top + 2 * devicePixelRatio);
    });
    ctx.restore();
  }

  function vertical(u, places, stroke, pattern) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = stroke;
    ctx.setLineDash(pattern);
    for (const place of places) {
      if (place < u.scales.x.min || place > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(place, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // NaN and infinities cannot be drawn as heights: a mark on the upper edge says where they are.
  function drawOdd(u) {
    const { ctx, bbox } = u;
    const size = 5 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = token("--bad");
    for (const [place] of current.list.flatMap((series) => series.non_finite)) {
      if (place < u.scales.x.min || place > u.scales.x.max) continue;
      const x = u.valToPos(place, "x", true);
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + 1.6 * size);
      ctx.fill();
    }
    ctx.restore();
  }

  // What stands at one row of the data: one entry a visible series, with its band where there is one.
  function shown(row = plot?.cursor.idx) {
    if (row === null || row === undefined || !current) return [];
    const entries = new Map();
    current.columns.forEach((column, place) => {
      const value = column.values ? column.values[row] : current.data[place + 1][row];
      if (hidden.has(column.index) || value === null || value === undefined) return;
      const entry = entries.get(column.index) ?? { series: column.series, index: column.index };
      entry[column.role === "area" ? "line" : column.role] = value;
      entries.set(column.index, entry);
    });
    return [...entries.values()].sort((a, b) => a.index - b.index);
  }

  function showValues(u) {
    const row = u.cursor.idx;
    writeLegend(row);
    const isHere = row !== null && row !== undefined && (u.over.matches(":hover") || panel.holder === document.activeElement);
    panel.tooltip.hidden = !isHere;
    if (!isHere) return;
    const x = current.data[0][row];
    panel.tooltip.replaceChildren(line("tip-x", position(x, current.look.x)), ...shown(row).slice(0, 14).map(tipRow), ...oddAt(x));
    const right = u.cursor.left > u.over.clientWidth / 2;
    panel.tooltip.style.left = right ? "" : `${u.cursor.left + 14}px`;
    panel.tooltip.style.right = right ? `${u.over.clientWidth - u.cursor.left + 14}px` : "";
  }

  function oddAt(x) {
    return current.list.flatMap((series) => series.non_finite.filter(([place]) => place === x).map(([, kind]) => line("tip-odd", `${panel.label(series)}: ${kind}`)));
  }

  function tipRow({ series, index, line: value, low, high }) {
    const row = line("tip-row", "");
    const range = low === undefined ? "" : ` (${metric(low, panel.unit)} to ${metric(high, panel.unit)})`;
    row.append(swatch(series, index), line("tip-name", panel.label(series)), line("tip-value", `${exact(value, panel.unit)}${range}`));
    return row;
  }

  function writeLegend(row) {
    const values = new Map(shown(row ?? (current.data[0].length ? current.data[0].length - 1 : null)).map((entry) => [entry.index, entry.line]));
    if (panel.legend.childElementCount !== current.list.length || panel.legend.dataset.shape !== shape) fillLegend();
    current.list.forEach((series, index) => {
      const newest = row === null ? [...series.mean].reverse().find((value) => value !== null) : values.get(index);
      panel.legend.children[index].lastElementChild.textContent = metric(newest, panel.unit);
    });
  }

  function fillLegend() {
    panel.legend.dataset.shape = shape;
    panel.legend.replaceChildren(...current.list.map((series, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "legend-item";
      button.setAttribute("aria-pressed", String(!hidden.has(index)));
      button.append(swatch(series, index), line("legend-name", panel.label(series)), line("legend-value", ""));
      button.addEventListener("click", () => toggle(index, button));
      return button;
    }));
  }

  function toggle(index, button) {
    hidden.has(index) ? hidden.delete(index) : hidden.add(index);
    button.setAttribute("aria-pressed", String(!hidden.has(index)));
    current.columns.forEach((column, place) => column.index === index && plot.setSeries(place + 1, { show: !hidden.has(index) }));
  }

  function swatch(series, index) {
    const mark = document.createElement("i");
    const style = panel.style(series, index);
    mark.className = "swatch";
    mark.style.setProperty("--stroke", `var(--series-${(style.colour % COLOURS) + 1})`);
    mark.dataset.dash = style.dash % DASHES.length;
    return mark;
  }

  // The keyboard's cursor: to the next drawn point, spoken in one sentence.
  function move(by) {
    if (!current?.data[0].length) return;
    const rows = current.data[0].length;
    const row = Math.min(rows - 1, Math.max(0, Number.isFinite(by) ? (plot.cursor.idx ?? rows - 1) + by : by > 0 ? rows - 1 : 0));
    plot.setCursor({ left: plot.valToPos(current.data[0][row], "x"), top: plot.over.clientHeight / 3 });
    const said = shown(row).map((entry) => `${panel.label(entry.series)} ${metric(entry.line, panel.unit)}`);
    panel.spoken.textContent = `${position(current.data[0][row], current.look.x)}: ${said.join(", ")}`;
  }

  return {
    draw,
    move,
    list: () => current?.list ?? [],
    look: () => current?.look,
    extent: () => (plot && current.data[0].length ? { lo: plot.scales.x.min, hi: plot.scales.x.max } : null),
    cursor: () => (plot?.cursor.idx === null || !current ? undefined : current.data[0][plot.cursor.idx]),
    canvas: () => plot?.ctx.canvas,
    redraw: () => current && draw(current.list, current.look),
    resize: () => plot?.setSize({ width: Math.max(50, panel.holder.clientWidth), height: panel.holder.clientHeight }),
  };
}

function line(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}
