// What the buttons of a panel do: its scales, the whole window, and taking the chart elsewhere.
/** @import { Panel } from "./panel.js" */
import { around, closest, required } from "../shared/dom.js";
import { savePng, saveText, showTable, toCsv, toJson, toSvg } from "./export.js";

/** @type {Record<string, (panel: Panel) => void>} data-act of the button -> what it does */
const ACTIONS = {
  log: (panel) => panel.view.toggle("flip", panel.key),
  share: (panel) => panel.toggleShare(),
  outside: (panel) => panel.view.toggle("all", panel.key),
  open: (panel) => panel.toggleOpen(),
  table: (panel) => showTable(panel.plot, { title: panel.title, unit: panel.shownUnit(), x: panel.shownAxis() }),
  csv: (panel) => saveText(toCsv(panel.plot, panel.shownAxis()), "text/csv", `${fileName(panel)}.csv`),
  json: (panel) => saveText(toJson(panel.plot, panel.shownAxis()), "application/json", `${fileName(panel)}.json`),
  png: (panel) => savePng(panel.plot, caption(panel), `${fileName(panel)}.png`),
  svg: (panel) => saveText(toSvg(panel.plot, caption(panel)), "image/svg+xml", `${fileName(panel)}.svg`),
};
const X_TITLES = {
  step: "Step", relative: "Time since the start", time: "Wall time", tokens: "Tokens", energy: "Energy",
};

/** @param {Panel} panel */
function caption(panel) {
  const isLog = panel.plot.display.logY ? " (logarithmic)" : "";
  const title = `${required(panel.element, "h3").dataset.prefix ?? ""}${panel.title}`;
  return { title, x: X_TITLES[panel.shownAxis()], y: `${title}${isLog}` };
}

/** @param {Panel} panel */
function fileName({ runs, key }) {
  return `${runs.length > 1 ? `${runs.length}-runs` : runs[0]}-${key.replaceAll("/", "-")}`;
}

/** @param {Panel} panel */
export function listenToActions(panel) {
  panel.element.addEventListener("click", (event) => {
    const button = closest(event, "[data-act]");
    if (!button || !(panel.answer || button.dataset.act === "open")) return;
    around(button, "details.menu")?.removeAttribute("open");
    ACTIONS[button.dataset.act ?? ""](panel);
  });
}
