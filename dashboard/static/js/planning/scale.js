// Places values of a field between 0 and 1, with the ticks of its axis: numbers, their logarithm, or words in order.
/** @import { Field, Scale, Value } from "./types.d.ts" */
import { tickIncrements, tickLabels } from "../chart/ticks.js";
import { formatExact, formatMetric } from "../shared/format.js";

const MARGIN = 0.04; // left free at both ends, so that no point lies on the edge
const AUTO_LOG_RATIO = 100; // from this ratio of most to least on, "auto" is logarithmic
const MAX_WORD_TICKS = 12;

/** @param {number} fraction of the room between the margins */
const withMargin = (fraction) => MARGIN + (1 - 2 * MARGIN) * fraction;
/** @param {number} at */
const withoutMargin = (at) => (at - MARGIN) / (1 - 2 * MARGIN);

/**
 * @param {Field} field
 * @param {Value[]} values of all runs
 * @param {{ log?: boolean | "auto", ticks?: number }} [options] auto: where all are positive and span two powers of ten
 * @returns {Scale}
 */
export function createScale(field, values, { log = false, ticks = 5 } = {}) {
  const known = values.filter((value) => value !== null && !isNonFinite(value));
  const numbers = known.filter((value) => typeof value === "number");
  if (!known.length) {
    return { place: () => null, ticks: [], format: String, formatExact: String, read: String, find: Number };
  }
  if (numbers.length < known.length) return wordScale(known.map(String));
  const isLog = log !== false && numbers.every((value) => value > 0) && (log !== "auto" || isWide(numbers));
  return numberScale(field, numbers, isLog, ticks);
}

/** @param {number[]} values */
function isWide(values) {
  const [least, most] = extentOf(values);
  return most / least >= AUTO_LOG_RATIO;
}

/** @param {number[]} values @returns {[least: number, most: number]} */
function extentOf(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}

/** @param {Value} value Whether it is the word for a number without a place. */
const isNonFinite = (value) => value === "NaN" || value === "Infinity" || value === "-Infinity";

/** @param {string[]} known @returns {Scale} */
function wordScale(known) {
  const words = [...new Set(known)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const placeAt = (/** @type {number} */ index) => (words.length === 1 ? 0.5 : withMargin(index / (words.length - 1)));
  const places = new Map(words.map((word, index) => [word, placeAt(index)]));
  const every = Math.ceil(words.length / MAX_WORD_TICKS);
  const ticks = words.map((text, index) => ({ at: placeAt(index), text }));
  return {
    place: (value) => (value === null || isNonFinite(value) ? null : places.get(String(value)) ?? null),
    ticks: ticks.filter((_, index) => index % every === 0),
    format: String,
    formatExact: String,
    read: (at) => at.toFixed(4), // between words there is no value to name
    find: Number,
  };
}

/** @param {Field} field @param {number[]} known @param {boolean} isLog @param {number} maxTicks @returns {Scale} */
function numberScale(field, known, isLog, maxTicks) {
  const toAxis = isLog ? Math.log10 : (/** @type {number} */ value) => value;
  let [low, high] = extentOf(known).map(toAxis);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const isTime = field.unit === "time";
  const placeOf = (/** @type {number} */ value) => withMargin((toAxis(value) - low) / (high - low));
  return {
    place: (value) => (typeof value !== "number" || (isLog && value <= 0) ? null : placeOf(value)),
    ticks: numberTicks(field.unit, low, high, isLog, maxTicks).map(({ value, text }) => ({ at: placeOf(value), text })),
    format: (value) => (isTime ? formatDate(Number(value)) : formatMetric(Number(value), field.unit)),
    formatExact: (value) => (isTime ? formatDate(Number(value)) : formatExact(Number(value), field.unit)),
    read: (at) => {
      const value = low + (high - low) * withoutMargin(at);
      return String(Number((isLog ? 10 ** value : value).toPrecision(6)));
    },
    find: (text) => (isLog && Number(text) <= 0 ? 0 : Math.min(1, Math.max(0, placeOf(Number(text))))),
  };
}

/**
 * @param {string} unit
 * @param {number} low
 * @param {number} high
 * @param {boolean} isLog
 * @param {number} maxTicks
 * @returns {{ value: number, text: string }[]}
 */
function numberTicks(unit, low, high, isLog, maxTicks) {
  if (isLog) return powersOfTen(low, high).map((value) => ({ value, text: formatMetric(value, unit) }));
  const step = stepBetween(low, high, tickIncrements(unit === "time" ? "s" : unit), maxTicks);
  const values = multiples(low, high, step);
  const texts = unit === "time" ? values.map(formatDate) : tickLabels(values, unit, step);
  return values.map((value, index) => ({ value, text: texts[index] }));
}

/** @param {number} seconds */
function formatDate(seconds) {
  const parts = /** @type {const} */ ({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  return new Date(seconds * 1000).toLocaleString([], parts);
}

/** @param {number} low @param {number} high @param {number[]} sizes @param {number} maxTicks */
const stepBetween = (low, high, sizes, maxTicks) =>
  sizes.find((size) => (high - low) / size <= maxTicks) ?? sizes[sizes.length - 1];

/** @param {number} low @param {number} high @param {number} step */
function multiples(low, high, step) {
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
  return found;
}

/** @param {number} low @param {number} high as logarithms */
function powersOfTen(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of high - low < 2 ? [1, 2, 5] : [1]) {
      const value = Number((digit * 10 ** power).toPrecision(12));
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) found.push(value);
    }
  }
  return found;
}
