// The search over everything: Ctrl-K opens its dialog, arrows move between the results.
import { byId, find, findAll, required } from "./dom.js";

const TYPING_MS = 150;
const dialog = document.getElementById("search");

class SearchDialog {
  /** @param {HTMLDialogElement} element */
  constructor(element) {
    this.element = element;
    this.form = required(element, "form", HTMLFormElement);
    this.field = required(element, "input", HTMLInputElement);
    this.results = byId("search-results");
    this.numSearches = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  start() {
    for (const link of findAll(document, "[data-search]")) {
      link.addEventListener("click", (event) => this.open(event));
    }
    document.addEventListener("keydown", (event) => {
      const isSearch = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k";
      if (isSearch) this.open(event);
    });
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.load(), TYPING_MS);
    });
    this.element.addEventListener("keydown", (event) => this.move(event));
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close(); // the backdrop
    });
    required(this.element, "[data-close-search]").addEventListener("click", () => this.element.close());
    this.form.addEventListener("submit", (event) => this.openFirst(event));
  }

  /** @param {Event} event */
  open(event) {
    event.preventDefault();
    if (!this.element.open) this.element.showModal();
    this.field.select();
    this.load();
  }

  async load() {
    this.numSearches += 1;
    const number = this.numSearches;
    const query = new URLSearchParams({ q: this.field.value, part: "1" });
    const response = await fetch(`${this.form.action}?${query}`).catch(() => null);
    if (number !== this.numSearches || !response?.ok) return;
    const html = await response.text(); // with everything escaped by the server
    if (number === this.numSearches) this.results.innerHTML = html;
  }

  /** @param {SubmitEvent} event */
  openFirst(event) {
    const first = find(this.results, ".found");
    if (!first) return;
    event.preventDefault();
    first.click();
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const hits = findAll(this.results, ".found");
    if (!hits.length) return;
    event.preventDefault();
    const current = hits.findIndex((hit) => hit === document.activeElement);
    const next = current + (event.key === "ArrowDown" ? 1 : -1);
    if (next < 0) this.field.focus();
    else hits[Math.min(next, hits.length - 1)].focus();
  }
}

/** Starts the search on pages with a navigation bar. */
export function startSearch() {
  if (dialog instanceof HTMLDialogElement) new SearchDialog(dialog).start();
}
