// The entry point of pages that need nothing but their charts: those of a run, a node or a sweep.
import { findAll } from "../shared/dom.js";
import { startCharts } from "./page.js";

for (const root of findAll(document, "[data-charts]")) startCharts(root);
