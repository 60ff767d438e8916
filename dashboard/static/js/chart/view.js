// What all charts of a page show of their runs, as the address says it: a link or a reload shows the same. Charts within
// a text bring an address of their own (data-query) and leave that of the page alone.
const KINDS = ["step", "relative", "time", "tokens", "energy"];
const OWN = { lo: "lo", hi: "hi" };

const flag = (otherwise) => ({ otherwise, read: ([text]) => text === "1", write: (value) => [value ? "1" : "0"] });
const among = (...choices) => ({ otherwise: choices[0], read: ([text]) => (choices.includes(text) ? text : choices[0]), write: (value) => [value] });
const text = { otherwise: "", read: ([value]) => value.slice(0, 200), write: (value) => [value] };
const list = { otherwise: [], read: (values) => values, write: (values) => values };
const share = { otherwise: 0, read: ([value]) => Math.min(0.999, Math.max(0, Number(value) || 0)), write: (value) => [String(value)] };

// name in the address -> what it is when it is not there, and how it is read and written
const FIELDS = {
  x: among(...KINDS),
  smooth: share, // weight of the exponential mean
  logx: flag(false),
  logy: flag(false),
  flip: list, // panels whose y axis is the other kind
  range: flag(true), // bands of least and greatest
  cut: flag(true), // y reaches only as far as all but a few points
  all: list, // panels that show these few too
  group: text, // a parameter or tag whose values make groups
  spread: among("range", "sd", "se"),
  hide: list, // runs or groups that are not drawn
  only: list, // or the only ones that are
  find: text,
  closed: list, // sections
  open: text, // the panel that fills the window
};

// changed(names) is told which fields changed, changed(null, kind) whose span did (undefined: of all kinds).
export function makeView(root, { changed, extent }) {
  const isOwn = root.dataset.query === undefined;
  const asked = new URLSearchParams(isOwn ? location.search : root.dataset.query);
  const view = {};
  const usual = (name) => (name === "x" ? root.dataset.x : undefined) ?? FIELDS[name].otherwise;
  for (const [name, field] of Object.entries(FIELDS)) view[name] = asked.has(name) ? field.read(asked.getAll(name)) : usual(name);
  // Charts that cannot follow the chosen axis keep a span of their own.
  const names = (kind) => (kind === view.x ? OWN : { lo: `${kind}_lo`, hi: `${kind}_hi` });
  const spans = new Map();
  for (const kind of KINDS) {
    const { lo, hi } = names(kind);
    const span = { lo: number(asked.get(lo)), hi: number(asked.get(hi)) };
    if (span.lo < span.hi) spans.set(kind, span);
  }

  function write() {
    if (!isOwn) return show();
    const url = new URL(location.href);
    for (const name of [...Object.keys(FIELDS), "lo", "hi", ...KINDS.flatMap((kind) => [`${kind}_lo`, `${kind}_hi`])]) url.searchParams.delete(name);
    for (const [name, field] of Object.entries(FIELDS)) {
      const values = field.write(view[name]);
      if (String(values) !== String(field.write(usual(name)))) for (const value of values) url.searchParams.append(name, value);
    }
    for (const [kind, span] of spans) {
      url.searchParams.set(names(kind).lo, short(span.lo, span));
      url.searchParams.set(names(kind).hi, short(span.hi, span));
    }
    history.replaceState(null, "", url);
    show();
  }

  // Controls name the field they set: data-flag, data-pick (with its value), data-field (inputs and selects).
  function show() {
    for (const button of root.querySelectorAll("[data-flag]")) button.setAttribute("aria-pressed", String(view[button.dataset.flag]));
    for (const button of root.querySelectorAll("[data-axis]")) button.setAttribute("aria-pressed", String(button.dataset.axis === view.x));
    for (const input of root.querySelectorAll("[data-field]")) if (input !== document.activeElement) input.value = view[input.dataset.field];
    for (const said of root.querySelectorAll("[data-said]")) said.textContent = view[said.dataset.said];
    for (const button of root.querySelectorAll("[data-reset], [data-zoom=out]")) button.hidden = !spans.size;
    for (const part of root.querySelectorAll("[data-with]")) part.hidden = !view[part.dataset.with];
    root.toggleAttribute("data-zoomed", spans.size > 0);
  }

  view.set = (changes) => {
    Object.assign(view, changes);
    write();
    changed(Object.keys(changes));
  };
  view.toggleIn = (name, one) => view.set({ [name]: view[name].includes(one) ? view[name].filter((other) => other !== one) : [...view[name], one] });
  view.isShown = (owner) => (view.only.length ? view.only.includes(owner) : !view.hide.includes(owner));
  view.span = (kind) => spans.get(kind);
  view.isZoomed = (kind) => spans.has(kind);
  view.zoom = (kind, lo, hi) => {
    const span = kind === "step" ? { lo: Math.floor(lo), hi: Math.ceil(hi) } : { lo, hi };
    if (!(span.lo < span.hi)) return;
    spans.set(kind, span);
    write();
    changed(null, kind);
  };
  view.reset = () => {
    if (!spans.size) return;
    spans.clear();
    write();
    changed(null);
  };
  // Around a place, or around the middle: half of what is seen, or twice as much.
  view.zoomBy = (kind, factor, at) => {
    const seen = extent(kind);
    if (!seen || (factor > 1 && !spans.has(kind))) return;
    const middle = at ?? (seen.lo + seen.hi) / 2;
    view.zoom(kind, middle - (middle - seen.lo) * factor, middle + (seen.hi - middle) * factor);
  };
  view.panBy = (kind, share) => {
    const seen = extent(kind);
    if (seen && spans.has(kind)) view.zoom(kind, seen.lo + (seen.hi - seen.lo) * share, seen.hi + (seen.hi - seen.lo) * share);
  };

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-axis], [data-reset], [data-zoom], [data-flag]");
    if (!button) return;
    if ("reset" in button.dataset) view.reset();
    else if (button.dataset.zoom) for (const kind of KINDS) view.zoomBy(kind, button.dataset.zoom === "in" ? 0.5 : 2);
    else if (button.dataset.flag) view.set({ [button.dataset.flag]: !view[button.dataset.flag] });
    else view.set({ x: button.dataset.axis });
  });
  root.addEventListener("input", ({ target }) => {
    const name = target.dataset.field;
    if (name) view.set({ [name]: FIELDS[name].read([target.value]) });
  });
  show();
  return view;
}

const number = (said) => (said === null || said === "" ? NaN : Number(said));

// As many digits as tell the ends of the span apart, not seventeen.
function short(value, { lo, hi }) {
  const digits = Math.max(0, 3 - Math.floor(Math.log10(hi - lo)));
  return String(Number(value.toFixed(Math.min(12, digits))));
}
