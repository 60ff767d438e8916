// Hears of changes from the server and refreshes the parts of the page that show them.
import { parsed } from "./format.js";

const NAMES = ["run", "job", "pools"];
const GAP_MS = 1000; // between two refreshes of one part at least; one that takes long is given eight times its own time
let lost = false;

function show(state) {
  const badge = document.querySelector("[data-link-state]");
  if (!badge) return;
  badge.dataset.state = state;
  badge.firstElementChild.textContent = state === "live" ? "live" : state === "lost" ? "reconnecting" : "connecting";
}

function hear({ state, name, data }) {
  if (state) {
    show(state);
    // What happened while the stream was away was not told: look once.
    if (state === "live" && lost) refreshAll();
    lost = state === "lost";
    return;
  }
  const detail = parsed(data);
  document.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));
  for (const part of document.querySelectorAll("[data-live]")) {
    if (concerns(part, name, detail)) refresh(part.id);
  }
}

// data-live="run:ID job:ID" or "job": an event without an id concerns everybody.
function concerns(part, name, detail) {
  const id = detail.id ?? detail[name];
  return part.dataset.live.split(" ").some((wish) => {
    const [kind, wanted] = wish.split(":");
    return kind === name && (!wanted || !id || wanted === id);
  });
}

const timers = new Map(); // of parts that will be read again
const busy = new Map(); // parts that are being read -> whether once more after that: false, "live" or "own"
const next = new Map(); // part -> when it may be read again
const owed = new Set(); // parts that a person holds

// What the person has done here is shown at once; what others do, when the part's turn comes.
export function refresh(id, isOwn = false) {
  if (busy.has(id)) { busy.set(id, isOwn || busy.get(id) === "own" ? "own" : "live"); return; }
  if (timers.has(id) && !isOwn) return;
  clearTimeout(timers.get(id));
  timers.set(id, setTimeout(() => load(id), isOwn ? 0 : Math.max(0, (next.get(id) ?? 0) - Date.now())));
}

// While a person holds a part (data-held, as during a drag) it stays as it is, also when its news were already on their
// way as it was taken; letting go catches up.
document.addEventListener("released", () => { for (const id of owed) refresh(id, true); owed.clear(); });
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!("held" in detail.target.dataset)) return;
  detail.shouldSwap = false;
  owed.add(detail.target.id);
});

async function load(id) {
  timers.delete(id);
  const part = document.getElementById(id);
  if (!part || document.hidden) return;
  if ("held" in part.dataset) { owed.add(id); return; }
  busy.set(id, false);
  const began = Date.now();
  const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
  await htmx.ajax("GET", part.dataset.url || location.pathname + location.search, { source: part, target: part, swap: "outerHTML" }).catch(() => {});
  for (const name of open) document.getElementById(name)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  next.set(id, Date.now() + Math.max(GAP_MS, 8 * (Date.now() - began)));
  const again = busy.get(id);
  busy.delete(id);
  if (again) refresh(id, again === "own");
}

export function refreshAll(isOwn = false) {
  for (const part of document.querySelectorAll("[data-live]")) refresh(part.id, isOwn);
  document.dispatchEvent(new CustomEvent("live:run", { detail: {} }));
}

function direct(url) {
  const source = new EventSource(url);
  source.onopen = () => hear({ state: "live" });
  source.onerror = () => hear({ state: "lost" });
  for (const name of NAMES) source.addEventListener(name, (event) => hear({ name, data: event.data }));
  addEventListener("pagehide", () => source.close());
}

function shared(url, script) {
  const worker = new SharedWorker(script, { name: "fourwalls-live" });
  worker.port.onmessage = ({ data }) => hear(data);
  worker.port.postMessage({ url });
  addEventListener("pagehide", () => worker.port.postMessage({ close: true }));
  addEventListener("pageshow", (event) => event.persisted && worker.port.postMessage({ url }));
}

export function listen() {
  const { liveUrl, liveWorker } = document.body.dataset;
  if (!liveUrl) return;
  if ("SharedWorker" in window) shared(new URL(liveUrl, location).href, liveWorker);
  else direct(liveUrl);
  document.body.addEventListener("changed", () => refreshAll(true));
  document.addEventListener("visibilitychange", () => document.hidden || refreshAll());
}
