// What all charts of a page show of their runs, as the address says it: a link or a reload shows the same. Charts
// within a text bring an address of their own (data-query) and leave that of the page alone.
/** @import { Span, ViewListener, ViewState, XAxis } from "./types.d.ts" */
import { closest, find, findAll } from "../shared/dom.js";
import { X_AXES, changeFromText, initialState, readSpans, readState, writeSpans, writeState } from "./view-fields.js";

export class View {
  /**
   * @param {HTMLElement} root
   * @param {ViewListener} listener
   */
  constructor(root, listener) {
    this.root = root;
    this.listener = listener;
    this.ownsAddress = root.dataset.query === undefined;
    this.hasRunList = Boolean(find(document, "[data-run-list]") ?? find(root, "[data-run-legend]"));
    this.initial = initialState(root.dataset.x);
    const query = new URLSearchParams(this.ownsAddress ? location.search : root.dataset.query);
    this.state = readState(query, this.initial);
    this.spans = readSpans(query, this.state.x);
    root.addEventListener("click", (event) => this.onClick(event));
    root.addEventListener("input", (event) => this.onInput(event));
    this.showControls();
  }

  /** @param {Partial<ViewState>} changes */
  set(changes) {
    Object.assign(this.state, changes);
    this.save();
    this.listener.onFields(/** @type {(keyof ViewState)[]} */ (Object.keys(changes)));
  }

  /**
   * Adds a text to a list of the view, or takes it out.
   * @param {"flip" | "all" | "hide" | "closed"} name
   * @param {string} item
   */
  toggle(name, item) {
    const items = this.state[name];
    this.set({ [name]: items.includes(item) ? items.filter((other) => other !== item) : [...items, item] });
  }

  /**
   * Whether a run or group is drawn.
   * @param {string} owner
   */
  isShown(owner) {
    const { only, hide } = this.state;
    return only.length ? only.includes(owner) : !hide.includes(owner);
  }

  /**
   * The part of an axis that is shown; undefined where all of it is.
   * @param {XAxis} axis
   * @returns {Span | undefined}
   */
  span(axis) {
    return this.spans.get(axis);
  }

  /** @param {XAxis} axis @param {number} lo @param {number} hi */
  zoom(axis, lo, hi) {
    const span = axis === "step" ? { lo: Math.floor(lo), hi: Math.ceil(hi) } : { lo, hi };
    if (!(span.lo < span.hi)) return;
    this.spans.set(axis, span);
    this.save();
    this.listener.onSpan(axis);
  }

  /** Shows the whole of every axis again. */
  reset() {
    if (!this.spans.size) return;
    this.spans.clear();
    this.save();
    this.listener.onSpan(null);
  }

  /**
   * Shows `factor` times as much of an axis, around a position or else its middle.
   * @param {XAxis} axis
   * @param {number} factor
   * @param {number} [at]
   */
  zoomBy(axis, factor, at) {
    const seen = this.listener.extentOf(axis);
    if (!seen || (factor > 1 && !this.spans.has(axis))) return;
    const middle = at ?? (seen.lo + seen.hi) / 2;
    this.zoom(axis, middle - (middle - seen.lo) * factor, middle + (seen.hi - middle) * factor);
  }

  /**
   * Moves a zoomed axis by a share of what is shown.
   * @param {XAxis} axis
   * @param {number} share
   */
  panBy(axis, share) {
    const seen = this.listener.extentOf(axis);
    if (!seen || !this.spans.has(axis)) return;
    const distance = (seen.hi - seen.lo) * share;
    this.zoom(axis, seen.lo + distance, seen.hi + distance);
  }

  save() {
    if (this.ownsAddress) {
      const url = new URL(location.href);
      writeState(url.searchParams, this.state, this.initial);
      writeSpans(url.searchParams, this.spans, this.state.x);
      history.replaceState(null, "", url);
    }
    this.showControls();
  }

  /** Controls name their field: data-flag and data-axis (buttons), data-field (inputs and selects), data-output. */
  showControls() {
    const { root } = this;
    /** @type {Record<string, unknown>} */
    const values = { ...this.state };
    for (const button of findAll(root, "[data-flag]")) {
      button.setAttribute("aria-pressed", String(values[button.dataset.flag ?? ""]));
    }
    for (const button of findAll(root, "[data-axis]")) {
      button.setAttribute("aria-pressed", String(button.dataset.axis === this.state.x));
    }
    for (const control of findAll(root, "[data-field]")) {
      const isControl = control instanceof HTMLInputElement || control instanceof HTMLSelectElement;
      if (isControl && control !== document.activeElement) control.value = String(values[control.dataset.field ?? ""]);
    }
    for (const output of findAll(root, "[data-output]")) {
      output.textContent = String(values[output.dataset.output ?? ""]);
    }
    for (const button of findAll(root, "[data-reset], [data-zoom=out]")) button.hidden = !this.spans.size;
    for (const part of findAll(root, "[data-with]")) part.hidden = !values[part.dataset.with ?? ""];
    root.toggleAttribute("data-zoomed", this.spans.size > 0);
  }

  /** @param {Event} event */
  onClick(event) {
    const button = closest(event, "[data-axis], [data-reset], [data-zoom], [data-flag]");
    if (!button) return;
    const { reset, zoom, flag, axis } = button.dataset;
    if (reset !== undefined) this.reset();
    else if (zoom) for (const one of X_AXES) this.zoomBy(one, zoom === "in" ? 0.5 : 2);
    else if (flag) this.set({ [flag]: !this.state[/** @type {keyof ViewState} */ (flag)] });
    else this.set({ x: /** @type {XAxis} */ (axis) });
  }

  /** @param {Event} event */
  onInput({ target }) {
    const isControl = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    const name = isControl ? target.dataset.field : undefined;
    if (isControl && name) this.set(changeFromText(name, target.value));
  }
}
