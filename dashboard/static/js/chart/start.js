// The charts of the page of a run or a node.
import { startCharts } from "./page.js";

for (const root of document.querySelectorAll("[data-charts]")) startCharts(root);
