// Receives events of changes from the server and refreshes the parts of the page that show them.
import { find, findAll } from "./dom.js";
import { parseJson } from "./requests.js";

const EVENTS = /** @type {const} */ (["run", "job", "pools"]);
const MIN_GAP_MS = 1000; // between two refreshes of one part
const GAP_FACTOR = 8; // a slow part waits this many times its own loading time
/** @type {Record<string, string>} */
const STATE_TEXTS = { live: "live", lost: "reconnecting" };
let isLost = false;

/** @typedef {{ state?: string, name?: string, data?: string }} StreamMessage */

/** @param {string} state */
function showState(state) {
  const badge = find(document, "[data-link-state]");
  if (!badge) return;
  badge.dataset.state = state;
  if (badge.firstElementChild) badge.firstElementChild.textContent = STATE_TEXTS[state] ?? "connecting";
}

/** @param {StreamMessage} message Either a new state of the stream, or an event. */
function receive({ state, name = "", data = "" }) {
  if (state) {
    showState(state);
    // Events of the time without a stream are lost: read every part once.
    if (state === "live" && isLost) refreshAll();
    isLost = state === "lost";
    return;
  }
  const detail = parseJson(data);
  document.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));
  for (const part of findAll(document, "[data-live]")) {
    if (isAffected(part, name, detail)) refresh(part.id);
  }
}

/**
 * Whether a part shows what an event is about: data-live="run:ID job:ID" or "job". An event without an id affects all.
 * @param {HTMLElement} part
 * @param {string} name
 * @param {Record<string, string | undefined>} detail
 */
function isAffected(part, name, detail) {
  const id = detail.id ?? detail[name];
  return (part.dataset.live ?? "").split(" ").some((subscription) => {
    const [kind, wanted] = subscription.split(":");
    return kind === name && (!wanted || !id || wanted === id);
  });
}

/** @type {Map<string, ReturnType<typeof setTimeout>>} Of parts that wait for their next refresh. */
const timers = new Map();
/** @type {Map<string, false | "live" | "own">} Parts that are loading, and who has asked for one more refresh since. */
const loading = new Map();
/** @type {Map<string, number>} When a part may be refreshed again. */
const dueTimes = new Map();
/** @type {Set<string>} Parts whose refresh waits until a drag, or the request of a form in them, has ended. */
const postponed = new Set();

/** @param {HTMLElement} part Whether it must stay: the answer to a form that has left the page would be lost. */
const isInUse = (part) => "held" in part.dataset || part.querySelector(".htmx-request") !== null;

/**
 * Refreshes one part: at once after an action of this person, else when the part is due.
 * @param {string} id
 * @param {boolean} [isOwn]
 */
export function refresh(id, isOwn = false) {
  if (loading.has(id)) {
    loading.set(id, isOwn || loading.get(id) === "own" ? "own" : "live");
    return;
  }
  if (timers.has(id) && !isOwn) return;
  clearTimeout(timers.get(id));
  const wait = isOwn ? 0 : Math.max(0, (dueTimes.get(id) ?? 0) - Date.now());
  timers.set(id, setTimeout(() => load(id), wait));
}

// During a drag (data-held) or a request a part stays as it is, also when its answer is already on the way. The end
// refreshes it.
function refreshPostponed() {
  const waiting = [...postponed];
  postponed.clear();
  for (const id of waiting) refresh(id, true);
}
document.addEventListener("released", refreshPostponed);
document.addEventListener("htmx:afterRequest", refreshPostponed);
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const isRefresh = detail.requestConfig.elt === detail.target; // and not the answer to a form in it
  if (!("held" in detail.target.dataset) && !(isRefresh && isInUse(detail.target))) return;
  detail.shouldSwap = false;
  postponed.add(detail.target.id);
});

/** @param {string} id */
async function load(id) {
  timers.delete(id);
  const part = document.getElementById(id);
  if (!part || document.hidden) return;
  if (isInUse(part)) {
    postponed.add(id);
    return;
  }
  loading.set(id, false);
  const startedAt = Date.now();
  await swap(part);
  dueTimes.set(id, Date.now() + Math.max(MIN_GAP_MS, GAP_FACTOR * (Date.now() - startedAt)));
  const again = loading.get(id);
  loading.delete(id);
  if (again) refresh(id, again === "own");
}

/**
 * Replaces a part by its newest version. What the person opened, closed or focused stays so, also when that happened
 * while the answer was on its way: the state is read at the moment of the swap.
 * @param {HTMLElement} part
 */
async function swap(part) {
  /** @type {Map<string, boolean>} */
  const openById = new Map();
  /** @type {string | undefined} */
  let focused;
  const remember = (/** @type {HTMLElementEventMap["htmx:beforeSwap"]} */ { detail }) => {
    if (detail.target !== part) return;
    for (const one of findAll(part, "details[id]")) openById.set(one.id, one.hasAttribute("open"));
    focused = part.contains(document.activeElement) ? document.activeElement?.id : undefined;
  };
  document.addEventListener("htmx:beforeSwap", remember);
  const address = part.dataset.url || location.pathname + location.search;
  await htmx.ajax("GET", address, { source: part, target: part, swap: "outerHTML" }).catch(() => {});
  document.removeEventListener("htmx:beforeSwap", remember);
  for (const [id, isOpen] of openById) document.getElementById(id)?.toggleAttribute("open", isOpen);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/**
 * Refreshes every part of the page, charts included.
 * @param {boolean} [isOwn]
 */
export function refreshAll(isOwn = false) {
  for (const part of findAll(document, "[data-live]")) refresh(part.id, isOwn);
  document.dispatchEvent(new CustomEvent("live:run", { detail: {} }));
}

/** @param {string} url */
function connectDirectly(url) {
  const source = new EventSource(url);
  source.onopen = () => receive({ state: "live" });
  source.onerror = () => receive({ state: "lost" });
  for (const name of EVENTS) source.addEventListener(name, ({ data }) => receive({ name, data }));
  addEventListener("pagehide", () => source.close());
}

/** @param {string} url @param {string} script */
function connectThroughWorker(url, script) {
  const { port } = new SharedWorker(script, { name: "fourwalls-live" });
  port.onmessage = ({ data }) => receive(data);
  port.postMessage({ url });
  addEventListener("pagehide", () => port.postMessage({ close: true }));
  addEventListener("pageshow", (event) => event.persisted && port.postMessage({ url }));
}

/** Connects to the event stream, on pages of a signed-in person. */
export function startLive() {
  const { liveUrl, liveWorker = "" } = document.body.dataset;
  if (!liveUrl) return;
  if ("SharedWorker" in window) connectThroughWorker(new URL(liveUrl, location.href).href, liveWorker);
  else connectDirectly(liveUrl);
  document.body.addEventListener("changed", () => refreshAll(true));
  document.addEventListener("visibilitychange", () => document.hidden || refreshAll());
}
