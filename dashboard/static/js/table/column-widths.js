// Widths of columns, dragged at the edge of a head, kept in this browser: a link shows the same columns, not the same screen.
const KEPT = "runs-widths";
const LEAST = 60, STEP = 16;

const kept = () => { try { return JSON.parse(localStorage.getItem(KEPT)) ?? {}; } catch { return {}; } };

export function fitWidths() {
  const widths = kept();
  for (const head of document.querySelectorAll("#runs th[data-key]")) fit(head, widths[head.dataset.key]);
}

function fit(head, width) {
  head.style.width = head.style.minWidth = head.style.maxWidth = width ? `${width}px` : "";
}

function keep(head, width) {
  const widths = kept();
  if (width) widths[head.dataset.key] = width; else delete widths[head.dataset.key];
  localStorage.setItem(KEPT, JSON.stringify(widths));
  fit(head, width);
}

export function listenToWidths() {
  document.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-grip]");
    if (!grip) return;
    event.preventDefault();
    const head = grip.closest("th");
    const [from, width] = [event.clientX, head.getBoundingClientRect().width];
    const drag = ({ clientX }) => keep(head, Math.round(Math.max(LEAST, width + clientX - from)));
    document.addEventListener("pointermove", drag);
    document.addEventListener("pointerup", () => document.removeEventListener("pointermove", drag), { once: true });
  });
  document.addEventListener("dblclick", ({ target }) => { if (target.closest("[data-grip]")) keep(target.closest("th"), null); });
  document.addEventListener("keydown", (event) => {
    const head = event.target.closest?.("#runs th[data-key]");
    const by = { "<": -STEP, ">": STEP }[event.key];
    if (head && by) { event.preventDefault(); keep(head, Math.max(LEAST, Math.round(head.getBoundingClientRect().width) + by)); }
  });
}
