// The navigation bar: shows the pages that fit, the others under "More", and the counts beside their titles.
import { find, findAll } from "./dom.js";
import { parseJson } from "./requests.js";

const COUNTS = "fourwalls-counts";
const GAP_MS = 5000; // between two reads of the counts
const PHONE = matchMedia("(max-width: 720px)");

class NavigationBar {
  /** @param {HTMLElement} nav */
  constructor(nav) {
    this.nav = nav;
    this.pages = findAll(nav, ".nav-pages > a");
    this.more = find(nav, ".nav-more");
    this.rest = findAll(nav, ".nav-more .menu-panel > a");
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.timer = null;
  }

  start() {
    this.showCounts(parseJson(sessionStorage.getItem(COUNTS) ?? "{}"));
    new ResizeObserver(() => this.fit()).observe(this.nav);
    document.fonts.ready.then(() => this.fit());
    for (const name of /** @type {const} */ (["live:job", "live:pools", "live:run"])) {
      document.addEventListener(name, () => this.loadSoon());
    }
    this.load();
  }

  /** Hides the last pages until the others fit. A phone has its own choice, made by the style sheet. */
  fit() {
    const isPhone = PHONE.matches;
    for (const [index, page] of this.pages.entries()) {
      page.hidden = false;
      this.rest[index].hidden = false;
    }
    if (isPhone || !this.more) return;
    this.more.hidden = true;
    const widths = this.pages.map((page) => page.offsetWidth + 2);
    const room = this.nav.clientWidth;
    const total = widths.reduce((sum, width) => sum + width, 0);
    this.more.hidden = total <= room;
    let left = total <= room ? Infinity : room - this.more.offsetWidth;
    for (const [index, page] of this.pages.entries()) {
      left -= widths[index];
      page.hidden = left < 0;
      this.rest[index].hidden = left >= 0;
    }
  }

  loadSoon() {
    this.timer ??= setTimeout(() => this.load(), GAP_MS);
  }

  async load() {
    this.timer = null;
    if (document.hidden) return;
    const response = await fetch(this.nav.dataset.counts ?? "").catch(() => null);
    if (!response?.ok) return;
    const text = await response.text();
    sessionStorage.setItem(COUNTS, text);
    this.showCounts(parseJson(text));
  }

  /** @param {Record<string, number | undefined>} counts */
  showCounts(counts) {
    for (const figure of findAll(this.nav, "[data-count]")) {
      const count = counts[figure.dataset.count ?? ""] ?? 0;
      figure.hidden = !count;
      figure.textContent = count > 999 ? "999+" : String(count);
      figure.title = `${count} ${figure.dataset.count}`;
    }
    this.fit();
  }
}

/** Starts the bar of a page that has one. */
export function startNavigation() {
  const nav = find(document, ".nav-top");
  if (nav) new NavigationBar(nav).start();
}
