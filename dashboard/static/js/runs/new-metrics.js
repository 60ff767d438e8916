// A run that logs itself may begin to log more metrics than the page has charts for: a page without any shows them at
// once, another one offers to.
const count = () => Number(document.getElementById("run-head")?.dataset.numMetrics ?? 0);
const known = count();
const button = document.querySelector("[data-new-metrics]");

button.addEventListener("click", () => location.reload());
document.addEventListener("htmx:afterSettle", () => {
  const fresh = count() - known;
  if (fresh <= 0) return;
  if (!known) { location.reload(); return; }
  button.textContent = `Show ${fresh} new metric${fresh > 1 ? "s" : ""}`;
  button.hidden = false;
});
