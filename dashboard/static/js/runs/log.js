// The end of a rank's log, read again while the run goes on.
import { byId, find } from "../shared/dom.js";

const GAP_MS = 1500; // between two reads

class LogView {
  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    this.rank = byId("log-rank", HTMLSelectElement);
    this.follow = byId("log-follow", HTMLInputElement);
    this.address = log.dataset.logUrl ?? "";
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.timer = null;
  }

  start() {
    this.rank.addEventListener("change", () => this.load());
    this.follow.addEventListener("change", () => this.load());
    document.addEventListener("live:run", ({ detail }) => {
      if (!detail.id || this.address.includes(detail.id)) this.loadSoon();
    });
    document.addEventListener("live:job", () => this.loadSoon());
    this.load();
  }

  loadSoon() {
    this.timer ??= setTimeout(() => this.load(), GAP_MS);
  }

  async load() {
    this.timer = null;
    if (document.hidden) return;
    const response = await fetch(`${this.address}?rank=${this.rank.value}`).catch(() => null);
    if (!response?.ok) return;
    const html = await response.text(); // with everything escaped by the server
    if (this.log.innerHTML !== html) this.log.innerHTML = html;
    if (this.follow.checked) this.log.scrollTop = this.log.scrollHeight;
    // The log is still being uploaded from its node, which sends no event.
    if (find(this.log, "[data-log-again]")) this.loadSoon();
  }
}

const log = document.getElementById("log");
if (log) new LogView(log).start();
