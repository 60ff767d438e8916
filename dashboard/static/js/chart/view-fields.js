// The fields of a view: how the address of a page holds them, and what they are where it does not.
/** @import { Span, ViewState, XAxis } from "./types.d.ts" */

/** @type {XAxis[]} */
export const X_AXES = ["step", "relative", "time", "tokens", "energy"];
const MAX_TEXT = 200;
const MAX_SMOOTHING = 0.999;

/**
 * @template T
 * @typedef {object} Field
 * @property {T} initial
 * @property {(values: string[]) => T} read from the values of the address, of which there is at least one
 * @property {(value: T) => string[]} write
 */

/** @param {boolean} initial @returns {Field<boolean>} */
const flag = (initial) => ({ initial, read: ([text]) => text === "1", write: (value) => [value ? "1" : "0"] });

/**
 * One of several texts, at first the first one.
 * @template {string} T
 * @param {T[]} choices
 * @returns {Field<T>}
 */
const oneOf = (...choices) => ({
  initial: choices[0],
  read: ([text]) => choices.find((choice) => choice === text) ?? choices[0],
  write: (value) => [value],
});

/** @type {Field<string>} */
const text = { initial: "", read: ([value]) => value.slice(0, MAX_TEXT), write: (value) => [value] };
/** @type {Field<string[]>} */
const list = { initial: [], read: (values) => values, write: (values) => values };
/** @type {Field<number>} */
const smoothing = {
  initial: 0,
  read: ([value]) => Math.min(MAX_SMOOTHING, Math.max(0, Number(value) || 0)),
  write: (value) => [String(value)],
};

/** @type {{ [Name in keyof ViewState]: Field<ViewState[Name]> }} */
const FIELDS = {
  x: oneOf(...X_AXES),
  smooth: smoothing,
  logx: flag(false),
  logy: flag(false),
  flip: list,
  range: flag(true),
  cut: flag(true),
  all: list,
  colour: text,
  group: text,
  spread: oneOf("range", "sd", "se"),
  hide: list,
  only: list,
  find: text,
  closed: list,
  open: text,
};
const fields = /** @type {[keyof ViewState, Field<any>][]} */ (Object.entries(FIELDS));

/**
 * A view of which the address says nothing.
 * @param {string | undefined} x the axis that the page asks for
 * @returns {ViewState}
 */
export function initialState(x) {
  const state = /** @type {ViewState} */ (Object.fromEntries(fields.map(([name, { initial }]) => [name, initial])));
  return { ...state, x: /** @type {XAxis | undefined} */ (x) ?? state.x };
}

/**
 * @param {URLSearchParams} query
 * @param {ViewState} initial
 * @returns {ViewState}
 */
export function readState(query, initial) {
  const given = fields.filter(([name]) => query.has(name));
  return { ...initial, ...Object.fromEntries(given.map(([name, field]) => [name, field.read(query.getAll(name))])) };
}

/**
 * Writes into an address what differs from the initial state.
 * @param {URLSearchParams} query
 * @param {ViewState} state
 * @param {ViewState} initial
 */
export function writeState(query, state, initial) {
  for (const [name] of fields) query.delete(name);
  for (const [name, field] of fields) {
    const values = field.write(state[name]);
    if (String(values) === String(field.write(initial[name]))) continue;
    for (const value of values) query.append(name, value);
  }
}

/**
 * The change that a text in the control of one field makes.
 * @param {string} name
 * @param {string} value
 * @returns {Partial<ViewState>}
 */
export function changeFromText(name, value) {
  const field = fields.find(([one]) => one === name)?.[1];
  return field ? { [name]: field.read([value]) } : {};
}

/**
 * Names of the ends of an axis' span. Charts that cannot follow the chosen axis keep a span of their own.
 * @param {XAxis} axis
 * @param {XAxis} chosen
 */
const spanNames = (axis, chosen) =>
  (axis === chosen ? { lo: "lo", hi: "hi" } : { lo: `${axis}_lo`, hi: `${axis}_hi` });

/**
 * The parts of the axes that an address shows.
 * @param {URLSearchParams} query
 * @param {XAxis} chosen
 * @returns {Map<XAxis, Span>}
 */
export function readSpans(query, chosen) {
  const spans = new Map();
  for (const axis of X_AXES) {
    const names = spanNames(axis, chosen);
    const span = { lo: numberOr(NaN, query.get(names.lo)), hi: numberOr(NaN, query.get(names.hi)) };
    if (span.lo < span.hi) spans.set(axis, span);
  }
  return spans;
}

/**
 * @param {URLSearchParams} query
 * @param {Map<XAxis, Span>} spans
 * @param {XAxis} chosen
 */
export function writeSpans(query, spans, chosen) {
  for (const name of ["lo", "hi", ...X_AXES.flatMap((axis) => [`${axis}_lo`, `${axis}_hi`])]) query.delete(name);
  for (const [axis, span] of spans) {
    const names = spanNames(axis, chosen);
    query.set(names.lo, withEnoughDigits(span.lo, span));
    query.set(names.hi, withEnoughDigits(span.hi, span));
  }
}

/** @param {number} otherwise @param {string | null} value */
const numberOr = (otherwise, value) => (value === null || value === "" ? otherwise : Number(value));

/**
 * As many digits as tell the ends of the span apart, not seventeen.
 * @param {number} value
 * @param {Span} span
 */
function withEnoughDigits(value, { lo, hi }) {
  const digits = Math.max(0, 3 - Math.floor(Math.log10(hi - lo)));
  return String(Number(value.toFixed(Math.min(12, digits))));
}
