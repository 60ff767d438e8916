// Reports: starts the charts of each block, also of those that a preview brings; says so before a text is left unsaved.
import { startCharts } from "../chart/page.js";

const start = (place) => place.querySelectorAll("[data-charts]").forEach((root) => startCharts(root));

for (const place of document.querySelectorAll("[data-report]")) {
  start(place);
  place.addEventListener("htmx:afterSettle", () => start(place));
}

const form = document.querySelector("[data-report-edit]");
if (form) {
  let isChanged = false;
  form.addEventListener("input", () => { isChanged = true; });
  form.addEventListener("submit", () => { isChanged = false; });
  window.addEventListener("beforeunload", (event) => { if (isChanged) event.preventDefault(); });
}
