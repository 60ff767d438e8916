// The charts of the accounting page: bars a day (or a month), stacked, and the share that was wasted.
import { ofSeries as colour, token } from "../chart/colours.js";
import { increments, tickTexts } from "../chart/ticks.js";

const DAY_S = 86400;
let charts = [];

const hours = (value) => `${value >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3))} h`;
const share = (value) => (value === null ? "nothing held" : `${Number((value * 100).toPrecision(3))} %`);

function text(name, said) {
  return Object.assign(document.createElement("span"), { className: name, textContent: said });
}

function swatch(index) {
  const mark = Object.assign(document.createElement("i"), { className: "swatch" });
  mark.style.setProperty("--stroke", `var(--series-${index + 1})`);
  return mark;
}

// lines: [{name, colour, values, said}], drawn from the last, which is the tallest, to the first
function draw(holder, drawing, { stack, unit, say, ceiling }) {
  const sums = [];
  stack.forEach((line, index) => sums.push(line.values.map((value, row) => (value ?? null) === null ? null : value + (sums[index - 1]?.[row] ?? 0))));
  const panel = holder.closest(".panel");
  const tip = panel.querySelector(".tip");
  const isMonth = drawing.step === "month";
  const place = (x) => new Date(x * 1000).toISOString().slice(0, isMonth ? 7 : 10);
  const axis = { stroke: token("--ink-3"), grid: { stroke: token("--grid"), width: 1 }, ticks: { show: false }, font: '11px "Inter", sans-serif' };
  const half = (isMonth ? 15 : 0.5) * DAY_S;
  const order = stack.map((_, index) => stack.length - 1 - index);
  const plot = new uPlot({
    width: Math.max(50, holder.clientWidth), height: holder.clientHeight, legend: { show: false }, padding: [12, 14, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { time: true, range: (_, low, high) => [low - half, high + half] }, y: { range: (_, low, high) => [0, ceiling ?? (high || 1) * 1.06] } },
    axes: [
      { ...axis, size: 30, space: isMonth ? 60 : 42, ...(isMonth ? { splits: () => drawing.x.filter((_, row) => row % Math.ceil(drawing.x.length / 12) === 0) } : { incrs: [1, 2, 4, 7, 14].map((days) => days * DAY_S) }), values: (_, splits) => splits.map((x) => place(x).slice(isMonth ? 0 : 5)) },
      { ...axis, size: 62, incrs: increments(unit), values: (_, splits, __, ___, step) => tickTexts(splits, unit, step) },
    ],
    series: [{}, ...order.map((index) => ({ stroke: colour(stack[index].colour), fill: colour(stack[index].colour), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.78, 60] }) }))],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    hooks: { setCursor: [(u) => show(u.cursor.idx)] },
  }, [drawing.x, ...order.map((index) => sums[index])], holder);
  plot.over.append(tip);

  function show(row) {
    const isHere = row !== null && row !== undefined && (plot.over.matches(":hover") || holder === document.activeElement);
    tip.hidden = !isHere;
    if (!isHere) return;
    tip.replaceChildren(text("tip-x", place(drawing.x[row])), ...stack.filter((line) => line.values[row] !== 0).map((line) => {
      const one = text("tip-row", "");
      one.append(swatch(line.colour), text("tip-name", line.name), text("tip-value", say(line.values[row])));
      return one;
    }));
    if (stack.length > 1) {
      const all = text("tip-row", "");
      all.append(text("tip-name", "all"), text("tip-value", say(stack.reduce((sum, line) => sum + line.values[row], 0))));
      tip.append(all);
    }
    const isRight = plot.cursor.left > plot.over.clientWidth / 2;
    tip.style.left = isRight ? "" : `${plot.cursor.left + 14}px`;
    tip.style.right = isRight ? `${plot.over.clientWidth - plot.cursor.left + 14}px` : "";
  }

  panel.querySelector(".legend").replaceChildren(...(stack.length > 1 ? stack : []).map((line) => {
    const item = text("legend-item", "");
    item.append(swatch(line.colour), text("legend-name", line.name), text("legend-value", say(line.values.reduce((sum, value) => sum + value, 0))));
    return item;
  }));
  holder.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const row = Math.min(drawing.x.length - 1, Math.max(0, (plot.cursor.idx ?? drawing.x.length) + by));
    plot.setCursor({ left: plot.valToPos(drawing.x[row], "x"), top: plot.over.clientHeight / 3 });
    panel.querySelector("[data-spoken]").textContent = `${place(drawing.x[row])}: ${stack.map((line) => `${line.name} ${say(line.values[row])}`).join(", ")}`;
  });
  holder.addEventListener("blur", () => { tip.hidden = true; });
  return { plot, holder };
}

function drawAll() {
  for (const { plot } of charts) plot.destroy();
  charts = [];
  const said = document.getElementById("accounting-drawing");
  if (!said) return;
  const drawing = JSON.parse(said.textContent);
  const holder = (name) => document.querySelector(`[data-chart="${name}"]`);
  charts = [
    draw(holder("held"), drawing, { stack: drawing.stack.map((line, index) => ({ ...line, colour: index })), unit: "", say: hours }),
    draw(holder("wasted"), drawing, { stack: [{ name: "wasted", colour: 4, values: drawing.wasted }], unit: "share", say: share, ceiling: 1 }),
  ];
}

drawAll();
document.addEventListener("theme", drawAll);
document.body.addEventListener("htmx:afterSettle", ({ detail }) => { if (detail.target?.id === "accounting" || detail.elt?.id === "accounting") drawAll(); });
new ResizeObserver(() => {
  for (const { plot, holder } of charts) plot.setSize({ width: Math.max(50, holder.clientWidth), height: holder.clientHeight });
}).observe(document.body);
