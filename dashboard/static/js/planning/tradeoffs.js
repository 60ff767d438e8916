// The trade-offs page: two pictures and a table of the same runs; what is brushed in one holds in all, and stands in the address.
import { makeParallel } from "./parallel.js";
import { makeScale } from "./scale.js";
import { makeScatter } from "./scatter.js";

const TABLE_ROWS = 200;
const form = document.querySelector("[data-choices]");
const asked = new URL(location.href).searchParams;

for (const field of form.elements) if (field.matches("select, [type=search]")) field.addEventListener("change", () => form.requestSubmit());
// Empty choices are left out of the address.
form.addEventListener("formdata", ({ formData }) => {
  for (const name of [...new Set(formData.keys())]) {
    const values = formData.getAll(name).filter(Boolean);
    formData.delete(name);
    for (const value of values) formData.append(name, value);
  }
  for (const name of ["xbest", "ybest", "xlog", "ylog"]) if (asked.has(name)) formData.set(name, asked.get(name));
});
form.addEventListener("click", ({ target }) => {
  const chip = target.closest(".axis-chip");
  if (!chip || target.tagName !== "BUTTON") return;
  if ("dropAxis" in target.dataset) chip.remove();
  else chip.previousElementSibling.before(chip);
  form.requestSubmit();
});

const data = JSON.parse(document.getElementById("tradeoffs-data").textContent);

function show() {
  const state = {
    ...data,
    kept: new Set(data.rows.map((row) => row.id)),
    brushes: new Map(),
    boxed: null, // ids within the rectangle, or all
    hovered: null,
    best: { x: asked.get("xbest") ?? data.fields[data.x].best, y: asked.get("ybest") ?? data.fields[data.y].best },
    log: { x: asked.has("xlog"), y: asked.has("ylog") },
    stroke: colouring(),
  };
  for (const text of asked.getAll("brush")) {
    const [place, low, high] = text.split("~");
    const field = data.fields.findIndex((one) => one.text === place);
    if (field < 0) continue;
    const scale = axisScale(field);
    if (scale.find(low) < scale.find(high)) state.brushes.set(field, [scale.find(low), scale.find(high)]);
  }
  const table = document.querySelector("[data-table]");
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  const tell = {
    hover(row, spot) { hover(row, spot, this.place); },
    open: (row) => { location.href = row.url; },
    brush: (ids) => { if (ids) state.boxed = new Set(ids); keep(); },
  };
  const [scatterPlace, parallelPlace] = [document.querySelector("[data-scatter]"), document.querySelector("[data-parallel]")];
  const scatter = makeScatter(scatterPlace, state, { ...tell, place: scatterPlace });
  const parallel = makeParallel(parallelPlace, state, { ...tell, place: parallelPlace });

  function keep() {
    state.kept = new Set(data.rows.filter((row) => (!state.boxed || state.boxed.has(row.id)) && parallel.isWithin(row)).map((row) => row.id));
    remember();
    redraw();
  }

  function redraw() {
    scatter.redraw();
    parallel.redraw();
    requestAnimationFrame(() => requestAnimationFrame(tellNumbers));
  }

  function tellNumbers() {
    const front = scatter.front();
    const missing = data.rows.length - scatter.numPlaced();
    document.querySelector("[data-scatter-note]").textContent = [
      front.size ? `${front.size} of ${state.kept.size} on the front: no other run is better in both.` : "",
      missing ? `${missing} run${missing === 1 ? " has" : "s have"} no finite value for one of the two and cannot be placed.` : "",
    ].filter(Boolean).join(" ");
    const isCut = state.kept.size < data.rows.length;
    document.querySelector("[data-kept]").textContent = isCut ? `${state.kept.size} of ${data.rows.length} runs kept.` : "Drag along an axis, or over the points above, to keep some runs.";
    document.querySelector("[data-clear]").hidden = !isCut && !state.brushes.size;
    drawTable(front);
    const compare = document.querySelector("[data-compare]");
    const address = new URL(compare.href);
    address.search = "";
    for (const id of [...state.kept].slice(0, 200)) address.searchParams.append("run", id);
    compare.href = address;
    for (const axis of ["x", "y"]) {
      const button = document.querySelector(`[data-best=${axis}]`);
      button.textContent = state.best[axis] === "low" ? "less is better" : "more is better";
      document.querySelector(`[data-log=${axis}]`).setAttribute("aria-pressed", String(state.log[axis]));
    }
  }

  function drawTable(front) {
    const columns = [...new Set([data.y, data.x, ...data.axes])];
    const scales = columns.map((field) => makeScale(data.fields[field], data.rows.map((row) => row.values[field])));
    const sign = state.best.y === "low" ? 1 : -1;
    const good = (row) => (typeof row.values[data.y] === "number" ? sign * row.values[data.y] : Infinity);
    const rows = data.rows.filter((row) => state.kept.has(row.id)).sort((a, b) => good(a) - good(b));
    const head = element("tr", [element("th", ["Run"]), ...columns.map((field) => element("th", [data.fields[field].label], "right"))]);
    const body = rows.slice(0, TABLE_ROWS).map((row) => {
      const link = Object.assign(element("a", [row.name], "title"), { href: row.url });
      const swatch = element("i", [], "swatch");
      swatch.style.setProperty("--stroke", state.stroke(row).startsWith("--") ? `var(${state.stroke(row)})` : state.stroke(row));
      const first = element("td", [swatch, " ", link, ...(front.has(row.id) ? [" ", element("span", ["on the front"], "badge-state is-busy")] : [])]);
      const line = element("tr", [first, ...columns.map((field, index) => written("td", row.values[field], scales[index], "right"))]);
      line.addEventListener("pointerenter", () => point(row.id));
      line.addEventListener("focusin", () => point(row.id));
      line.addEventListener("pointerleave", () => point(null));
      return line;
    });
    const more = rows.length > TABLE_ROWS ? [element("tr", [Object.assign(element("td", [`and ${rows.length - TABLE_ROWS} more`], "quiet"), { colSpan: columns.length + 1 })])] : [];
    table.replaceChildren(element("thead", [head]), element("tbody", [...body, ...more]));
  }

  function point(id) {
    state.hovered = id;
    parallel.redraw();
  }

  function hover(row, spot, place) {
    if (state.hovered !== (row?.id ?? null)) point(row?.id ?? null);
    tip.hidden = !row;
    if (!row) return;
    const lines = [...new Set([data.y, data.x, ...data.axes])].map((field) => {
      const scale = makeScale(data.fields[field], data.rows.map((one) => one.values[field]));
      return element("div", [element("span", [data.fields[field].label], "tip-name"), written("span", row.values[field], scale, "tip-value")], "tip-row");
    });
    tip.replaceChildren(element("b", [row.name]), ...lines);
    place.append(tip);
    tip.style.left = `${Math.max(4, spot.left > place.clientWidth / 2 ? spot.left - tip.offsetWidth - 14 : spot.left + 14)}px`;
    tip.style.top = `${Math.max(4, Math.min(spot.top, place.clientHeight - tip.offsetHeight - 4))}px`;
  }

  function tellColours() {
    const note = document.querySelector("[data-colours]");
    if (data.colour === null) return;
    const scale = makeScale(data.fields[data.colour], data.rows.map((row) => row.values[data.colour]));
    note.replaceChildren(...scale.ticks.map((tick) => {
      const swatch = element("i", [], "swatch");
      swatch.style.setProperty("--stroke", blend(tick.at));
      return element("span", [swatch, " ", tick.text]);
    }));
  }

  // What a link must show again: the ranges, which goal is which, the scales. A rectangle becomes two ranges only where both are axes.
  function remember() {
    const url = new URL(location.href);
    url.searchParams.delete("brush");
    for (const [field, [low, high]] of state.brushes) url.searchParams.append("brush", [data.fields[field].text, axisScale(field).read(low), axisScale(field).read(high)].join("~"));
    for (const axis of ["x", "y"]) {
      set(url, `${axis}best`, state.best[axis] === data.fields[data[axis]].best ? null : state.best[axis]);
      set(url, `${axis}log`, state.log[axis] ? "1" : null);
    }
    history.replaceState(null, "", url);
  }

  function colouring() {
    if (data.colour === null) return (row) => row.stroke;
    const scale = makeScale(data.fields[data.colour], data.rows.map((row) => row.values[data.colour]));
    return (row) => {
      const at = scale.place(row.values[data.colour]);
      return at === null ? "--ink-3" : blend(at);
    };
  }

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-best], [data-log], [data-clear]");
    if (!button) return;
    if (button.dataset.best) state.best[button.dataset.best] = state.best[button.dataset.best] === "low" ? "high" : "low";
    else if (button.dataset.log) state.log[button.dataset.log] = !state.log[button.dataset.log];
    else {
      state.brushes.clear();
      state.boxed = null;
    }
    keep();
  });
  tellColours();
  redraw();
  if (state.brushes.size) requestAnimationFrame(() => requestAnimationFrame(keep));
}

function written(name, value, scale, className) {
  const text = value === null ? "–" : typeof value === "number" ? scale.write(value) : value;
  return Object.assign(element(name, [text], className), { title: typeof value === "number" ? scale.exactly(value) : "" });
}

const axisScale = (field) => makeScale(data.fields[field], data.rows.map((row) => row.values[field]), { log: "auto" });
// From one hue to another through lightness too, so that it reads without colour.
const blend = (at) => `oklch(${0.52 + 0.26 * at} 0.15 ${265 - 205 * at})`;

function set(url, name, value) {
  if (value === null) url.searchParams.delete(name);
  else url.searchParams.set(name, value);
}

function element(name, children, className = "") {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

if (data.rows.length && data.x !== null && data.y !== null) show();
