// Metrics that a run of a user's own script has begun to log since the page was made: a page without any chart shows
// them at once, another one offers to.
import { required } from "../shared/dom.js";

const button = required(document, "[data-new-metrics]");
const numMetrics = () => Number(document.getElementById("run-head")?.dataset.numMetrics ?? 0);
const numAtFirst = numMetrics();

button.addEventListener("click", () => location.reload());
document.addEventListener("htmx:afterSettle", () => {
  const numNew = numMetrics() - numAtFirst;
  if (numNew <= 0) return;
  if (!numAtFirst) {
    location.reload();
    return;
  }
  button.textContent = `Show ${numNew} new metric${numNew > 1 ? "s" : ""}`;
  button.hidden = false;
});
