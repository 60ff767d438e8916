// Reports: starts the charts of each block, those of a preview included, and warns before a text is left unsaved.
import { startCharts } from "../chart/page.js";
import { find, findAll } from "../shared/dom.js";

/** @param {HTMLElement} report */
function startAll(report) {
  for (const root of findAll(report, "[data-charts]")) startCharts(root);
}

for (const report of findAll(document, "[data-report]")) {
  startAll(report);
  report.addEventListener("htmx:afterSettle", () => startAll(report));
}

const form = find(document, "[data-report-edit]");
if (form) {
  let isChanged = false;
  form.addEventListener("input", () => {
    isChanged = true;
  });
  form.addEventListener("submit", () => {
    isChanged = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (isChanged) event.preventDefault();
  });
}
