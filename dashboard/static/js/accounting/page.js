// The accounting page: bars of the device-hours that were held, and of the share of them that was wasted.
/** @import { Layer } from "./bar-chart.js" */
import { readJson, required } from "../shared/dom.js";
import { BarChart } from "./bar-chart.js";

const WASTED_COLOUR = 4;

/**
 * What the template writes (dashboard's spending).
 * @typedef {object} AccountingData
 * @property {number[]} x seconds since the epoch
 * @property {"day" | "month"} step
 * @property {{ name: string, values: number[] }[]} stack device-hours
 * @property {(number | null)[]} wasted share; null where nothing was held
 */

/** @type {BarChart[]} */
let charts = [];

/** @param {number | null} value */
function formatHours(value) {
  const hours = value ?? 0;
  return `${hours >= 100 ? Math.round(hours).toLocaleString("en") : Number(hours.toPrecision(3))} h`;
}

/** @param {number | null} value */
function formatShare(value) {
  return value === null ? "nothing held" : `${Number((value * 100).toPrecision(3))} %`;
}

function drawAll() {
  for (const chart of charts) chart.destroy();
  charts = [];
  if (!document.getElementById("accounting-drawing")) return;
  /** @type {AccountingData} */
  const { x, step, stack, wasted } = readJson("accounting-drawing");
  const common = { x, isMonthly: step === "month" };
  /** @type {Layer[]} */
  const held = stack.map((layer, index) => ({ ...layer, colour: index }));
  const wastedShare = { name: "wasted", colour: WASTED_COLOUR, values: wasted };
  charts = [
    new BarChart(holder("held"), { ...common, layers: held, unit: "", format: formatHours }),
    new BarChart(holder("wasted"), {
      ...common, layers: [wastedShare], unit: "share", format: formatShare, ceiling: 1,
    }),
  ];
}

/** @param {string} name */
const holder = (name) => required(document, `[data-chart="${name}"]`);

drawAll();
document.addEventListener("theme", drawAll);
document.body.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail?.target?.id === "accounting" || detail?.elt?.id === "accounting") drawAll();
});
new ResizeObserver(() => charts.forEach((chart) => chart.resize())).observe(document.body);
