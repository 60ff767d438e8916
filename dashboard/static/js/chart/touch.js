// Fingers on a chart: one moves the cursor, two stretch and move the span. Up and down still scrolls the page.
const NEAREST_PX = 16; // fingers that lie closer do not stretch any further

// follow: {cursor(left), preview(lo, hi), settle(lo, hi), valueAt(left)}; left counts pixels from the plot's left edge.
export function followFingers(over, follow) {
  const fingers = new Map(); // pointer -> left
  let held = null; // {ids, values}: what lay under the two fingers when they came down
  let span = null;

  const leftOf = (event) => event.clientX - over.getBoundingClientRect().left;

  over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, leftOf(event));
    if (fingers.size === 1) follow.cursor(leftOf(event));
    held = fingers.size === 2 ? hold() : null;
  });
  over.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, leftOf(event));
    if (held) stretch();
    else if (fingers.size === 1) follow.cursor(leftOf(event));
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) over.addEventListener(end, (event) => lift(event.pointerId));

  function hold() {
    const ids = [...fingers.keys()].sort((a, b) => fingers.get(a) - fingers.get(b));
    return { ids, values: ids.map((id) => follow.valueAt(fingers.get(id))) };
  }

  // The span at which both values lie under their fingers again.
  function stretch() {
    const [left, right] = held.ids.map((id) => fingers.get(id));
    const [low, high] = held.values;
    const size = (high - low) * over.clientWidth / Math.max(NEAREST_PX, right - left);
    if (!(size > 0)) return;
    const lo = low - (left / over.clientWidth) * size;
    span = [lo, lo + size];
    follow.preview(...span);
  }

  function lift(id) {
    if (!fingers.delete(id)) return;
    held = null;
    if (span) follow.settle(...span);
    span = null;
  }
}
