// What all charts of a page show of their runs: the axis, the span of it and the smoothing. It stands in the address,
// so that a link shows the same part.
const OWN = { lo: "lo", hi: "hi" };
const KINDS = ["step", "relative", "time", "tokens"];

// tell: {span(kind or null for all), axis(), smoothing()}; extent(kind) says what the charts of a kind show now.
export function makeView(root, tell, extent) {
  const asked = new URL(location.href).searchParams;
  const usual = root.dataset.x ?? "step";
  const view = { x: KINDS.includes(asked.get("x")) ? asked.get("x") : usual, smoothing: Number(asked.get("smooth")) || 0 };
  // Charts that cannot follow the chosen axis keep a span of their own.
  const names = (kind) => (kind === view.x ? OWN : { lo: `${kind}_lo`, hi: `${kind}_hi` });
  const spans = new Map();
  for (const kind of KINDS) {
    const { lo, hi } = names(kind);
    const span = { lo: number(asked.get(lo)), hi: number(asked.get(hi)) };
    if (span.lo < span.hi) spans.set(kind, span);
  }

  function changed() {
    const url = new URL(location.href);
    for (const name of ["x", "smooth", "lo", "hi", ...KINDS.flatMap((kind) => [`${kind}_lo`, `${kind}_hi`])]) url.searchParams.delete(name);
    if (view.x !== usual) url.searchParams.set("x", view.x);
    if (view.smoothing) url.searchParams.set("smooth", view.smoothing);
    for (const [kind, span] of spans) {
      url.searchParams.set(names(kind).lo, short(span.lo, span));
      url.searchParams.set(names(kind).hi, short(span.hi, span));
    }
    history.replaceState(null, "", url);
    show();
  }

  function show() {
    for (const button of root.querySelectorAll("[data-axis]")) button.setAttribute("aria-pressed", String(button.dataset.axis === view.x));
    for (const button of root.querySelectorAll("[data-reset], [data-zoom=out]")) button.hidden = !spans.size;
    root.toggleAttribute("data-zoomed", spans.size > 0);
  }

  view.span = (kind) => spans.get(kind) ?? {};
  view.isZoomed = (kind) => spans.has(kind);
  view.zoom = (kind, lo, hi) => {
    const span = kind === "step" ? { lo: Math.floor(lo), hi: Math.ceil(hi) } : { lo, hi };
    if (!(span.lo < span.hi)) return;
    spans.set(kind, span);
    changed();
    tell.span(kind);
  };
  view.reset = () => {
    if (!spans.size) return;
    spans.clear();
    changed();
    tell.span(null);
  };
  // Around a place, or around the middle: half of what is seen, or twice as much.
  view.zoomBy = (kind, factor, at) => {
    const seen = extent(kind);
    if (!seen || (factor > 1 && !spans.has(kind))) return;
    const middle = at ?? (seen.lo + seen.hi) / 2;
    view.zoom(kind, middle - (middle - seen.lo) * factor, middle + (seen.hi - middle) * factor);
  };

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-axis], [data-reset], [data-zoom]");
    if (!button) return;
    if ("reset" in button.dataset) view.reset();
    else if (button.dataset.zoom) for (const kind of KINDS) view.zoomBy(kind, button.dataset.zoom === "in" ? 0.5 : 2);
    else {
      view.x = button.dataset.axis;
      changed();
      tell.axis();
    }
  });
  const slider = root.querySelector("[data-smoothing]");
  if (slider) slider.value = view.smoothing;
  slider?.addEventListener("input", () => {
    view.smoothing = Number(slider.value);
    changed();
    tell.smoothing();
  });
  show();
  return view;
}

const number = (text) => (text === null || text === "" ? NaN : Number(text));

// As many digits as tell the ends of the span apart, not seventeen.
function short(value, { lo, hi }) {
  const digits = Math.max(0, 3 - Math.floor(Math.log10(hi - lo)));
  return String(Number(value.toFixed(Math.min(12, digits))));
}
