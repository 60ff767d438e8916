// What the buttons of a panel do: its scales, the whole window, and taking the chart elsewhere.
/** @import { Panel } from "./panel.js" */
import { around, closest } from "../shared/dom.js";
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
  png: (panel) => savePng(panel.plot, panel.title, `${fileName(panel)}.png`),
  svg: (panel) => saveText(toSvg(panel.plot, panel.title), "image/svg+xml", `${fileName(panel)}.svg`),
};

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
