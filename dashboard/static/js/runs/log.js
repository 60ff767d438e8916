// The log of a rank: its end, read again while the run goes on, or the lines that contain a text.
import { byId, find } from "../shared/dom.js";
import { listenToKeys } from "../shared/keyboard.js";

const GAP_MS = 1500; // between two reads
const TYPING_MS = 250;
const WRAP = "fourwalls-log-wrap";

class LogView {
  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    this.rank = byId("log-rank", HTMLSelectElement);
    this.attempt = find(document, "#log-attempt", HTMLSelectElement);
    this.text = byId("log-text", HTMLInputElement);
    this.wrap = byId("log-wrap", HTMLInputElement);
    this.follow = byId("log-follow", HTMLInputElement);
    this.state = byId("log-state");
    this.address = log.dataset.logUrl ?? "";
    this.numReads = 0;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.timer = null;
  }

  start() {
    this.rank.addEventListener("change", () => this.load());
    this.attempt?.addEventListener("change", () => this.load());
    this.follow.addEventListener("change", () => this.load());
    this.text.addEventListener("input", () => this.loadSoon(TYPING_MS));
    // Enter in the field would download the log.
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
      if (event.key === "Escape") this.clear();
    });
    this.wrap.checked = localStorage.getItem(WRAP) === "1";
    this.wrap.addEventListener("change", () => this.setWrap());
    this.setWrap();
    document.addEventListener("live:run", ({ detail }) => {
      if (!detail.id || this.address.includes(detail.id)) this.loadSoon();
    });
    document.addEventListener("live:job", () => this.loadSoon());
    const params = new URLSearchParams(location.search);
    this.text.value = params.get("q") ?? "";
    if (params.has("rank")) this.rank.value = params.get("rank") ?? "0";
    listenToKeys({ w: () => this.wrap.click() });
    this.load();
  }

  clear() {
    this.text.value = "";
    this.load();
  }

  setWrap() {
    this.log.toggleAttribute("data-wrap", this.wrap.checked);
    localStorage.setItem(WRAP, this.wrap.checked ? "1" : "");
  }

  loadSoon(after = GAP_MS) {
    if (after === TYPING_MS && this.timer) clearTimeout(this.timer);
    if (after === TYPING_MS || !this.timer) this.timer = setTimeout(() => this.load(), after);
  }

  get query() {
    const query = new URLSearchParams({ rank: this.rank.value });
    if (this.attempt) query.set("attempt", this.attempt.value);
    if (this.text.value) query.set("q", this.text.value);
    return query;
  }

  async load() {
    this.timer = null;
    if (document.hidden) return;
    this.numReads += 1;
    const number = this.numReads;
    const response = await fetch(`${this.address}?${this.query}`).catch(() => null);
    if (!response?.ok || number !== this.numReads) return;
    const html = await response.text(); // with everything escaped by the server
    if (number !== this.numReads) return;
    if (this.log.innerHTML !== html) this.log.innerHTML = html;
    this.state.textContent = find(this.log, "[data-log-state]")?.dataset.logState ?? "";
    if (this.follow.checked) this.log.scrollTop = this.log.scrollHeight;
    // The log is still being uploaded from its node, which sends no event.
    if (find(this.log, "[data-log-again]")) this.loadSoon();
  }
}

const log = document.getElementById("log");
if (log) new LogView(log).start();
