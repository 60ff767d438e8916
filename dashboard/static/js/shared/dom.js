// Typed look-ups and construction of elements. A script knows which elements the template of its page holds.

/**
 * @template {Element} T
 * @typedef {abstract new (...args: any[]) => T} ElementClass
 */

/**
 * The first element that matches and has this class, or null.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {ElementClass<T>} [kind]
 * @returns {T | null}
 */
export function find(root, selector, kind) {
  return narrow(root.querySelector(selector), kind);
}

/**
 * As `find`, of an element that the template is known to hold.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {ElementClass<T>} [kind]
 * @returns {T}
 */
export function required(root, selector, kind) {
  const found = find(root, selector, kind);
  if (!found) throw new Error(`The page has no ${selector}.`);
  return found;
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {ElementClass<T>} [kind]
 * @returns {T[]}
 */
export function findAll(root, selector, kind) {
  return [...root.querySelectorAll(selector)].flatMap((element) => narrow(element, kind) ?? []);
}

/**
 * The element with this id, which the template is known to hold.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {ElementClass<T>} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  return required(document, `#${CSS.escape(id)}`, kind);
}

/**
 * The nearest element around the target of an event that matches, or null.
 * @template {Element} [T=HTMLElement]
 * @param {Event} event
 * @param {string} selector
 * @param {ElementClass<T>} [kind]
 * @returns {T | null}
 */
export function closest(event, selector, kind) {
  return event.target instanceof Element ? around(event.target, selector, kind) : null;
}

/**
 * The nearest element around another one (or that one) that matches, or null.
 * @template {Element} [T=HTMLElement]
 * @param {Element | null} element
 * @param {string} selector
 * @param {ElementClass<T>} [kind]
 * @returns {T | null}
 */
export function around(element, selector, kind) {
  return narrow(element?.closest(selector) ?? null, kind);
}

/**
 * A new element with these properties and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<Omit<HTMLElementTagNameMap[K], "children" | "style" | "dataset">>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function create(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {CanvasRenderingContext2D}
 */
export function context2d(canvas, settings) {
  const context = canvas.getContext("2d", settings);
  if (!context) throw new Error("This browser has no 2D canvas.");
  return context;
}

/**
 * The data that the template has written into `<script type="application/json" id=...>`.
 * @param {string} id
 * @returns {any}
 */
export function readJson(id) {
  return JSON.parse(byId(id).textContent ?? "");
}

/**
 * @template {Element} T
 * @param {Element | null} element
 * @param {ElementClass<T>} [kind]
 * @returns {T | null}
 */
function narrow(element, kind) {
  return element instanceof (kind ?? HTMLElement) ? /** @type {T} */ (element) : null;
}
