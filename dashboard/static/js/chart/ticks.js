// Where an axis has its ticks and what stands at them: one unit and one number of decimals for the whole axis.
import { BYTE_PREFIXES, COUNT_PREFIXES, PLAIN_SUFFIXES, formatDuration, formatMetric } from "../shared/format.js";

/** @import { Extent } from "./types.d.ts" */
/** @import { Prefixes } from "../shared/format.js" */
/** @typedef {(value: number) => string} Writer */

const MAX_DECIMALS = 5; // of a plain number; beyond it is written as 1e-6
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86400;

const DECIMAL = multiplesOfPowers(10, -9, 15, [1, 2, 5]);
const WHOLE = multiplesOfPowers(10, 0, 15, [1, 2, 5]);
const BINARY = multiplesOfPowers(2, 0, 56, [1]);
const SECONDS = [
  ...DECIMAL.filter((size) => size < 1), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  ...[1, 2, 3, 6, 12, 24].map((hours) => hours * HOUR_S),
  ...multiplesOfPowers(10, 0, 4, [2, 5, 10]).map((days) => days * DAY_S),
];
/** @type {Prefixes} */
const SMALL_TIMES = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
/** @type {Record<string, string>} */
const PREFIXED_UNITS = { w: "W", j: "J", hz: "Hz", flops_per_s: "", tokens: "", tokens_per_s: "", per_s: "" };

/** @param {number} base @param {number} first @param {number} last @param {number[]} factors */
function multiplesOfPowers(base, first, last, factors) {
  const found = [];
  for (let power = first; power <= last; power += 1) {
    for (const factor of factors) found.push(Number((factor * base ** power).toPrecision(15)));
  }
  return found;
}

/**
 * Distances that a person would choose between two ticks: halves of bytes, not of thousands; minutes, not hundreds of
 * seconds.
 * @param {string} unit
 * @returns {number[]} ascending
 */
export function tickIncrements(unit) {
  if (unit === "bytes" || unit === "bytes_per_s") return BINARY;
  if (unit === "s") return SECONDS;
  return unit === "step" || unit === "tokens" ? WHOLE : DECIMAL;
}

/**
 * @param {number[]} ticks
 * @param {string} unit
 * @param {number} step between two ticks
 * @returns {string[]}
 */
export function tickLabels(ticks, unit, step) {
  const write = writerFor(unit, Math.max(...ticks.map(Math.abs)), step);
  // Sums of a step that has no exact binary form miss 0 by a little.
  return ticks.map((value) => (Math.abs(value) < step / 1e6 ? "0" : write(value)));
}

/**
 * On a logarithmic axis every tick has a size of its own; those that are left out are null.
 * @param {(number | null)[]} ticks
 * @param {string} unit
 * @returns {string[]}
 */
export function logTickLabels(ticks, unit) {
  return ticks.map((value) => {
    if (value === null) return "";
    if (unit === "" && value < 0.01) return Number(value.toPrecision(3)).toExponential();
    return withoutRateUnit(formatMetric(value, unit));
  });
}

/**
 * A logarithmic axis begins at a round number; it ends at one too, unless half of the chart stayed empty.
 * @param {number} low
 * @param {number} high
 * @param {2 | 10} base
 * @returns {Extent}
 */
export function logRange(low, high, base) {
  const [bottom, top] = uPlot.rangeLog(low, high, base, false);
  return [bottom ?? low, top === null || top > 2 * high ? high * 1.1 : top];
}

/**
 * The panel's title names these units, so that the label keeps only the prefix.
 * @param {string} text
 */
const withoutRateUnit = (text) => text.replace(/(FLOP\/s|(?<!B)\/s)$/, "").trim();

/** @param {string} unit @param {number} most the greatest tick @param {number} step @returns {Writer} */
function writerFor(unit, most, step) {
  if (unit === "s") return timeWriter(most, step);
  if (unit === "bytes") return prefixWriter(BYTE_PREFIXES, "B", "", most, step);
  if (unit === "bytes_per_s") return prefixWriter(BYTE_PREFIXES, "B", "/s", most, step);
  if (unit === "share") return (value) => `${withDigits(value * 100, decimals(step * 100))} %`;
  if (unit === "pct") return (value) => `${withDigits(value, decimals(step))} %`;
  if (unit in PLAIN_SUFFIXES) return (value) => `${withDigits(value, decimals(step))} ${PLAIN_SUFFIXES[unit]}`;
  if (unit === "step" && most < 1e6) return (value) => withDigits(value, 0);
  if (unit === "step") return prefixWriter(COUNT_PREFIXES, "", "", most, step);
  if (unit in PREFIXED_UNITS) return prefixWriter(COUNT_PREFIXES, PREFIXED_UNITS[unit], "", most, step);
  if (most >= 1e6 || decimals(step) > MAX_DECIMALS) return (value) => scientific(value, step);
  return (value) => withDigits(value, decimals(step));
}

/** @param {number} value @param {number} step */
function scientific(value, step) {
  return value.toExponential(Math.max(0, exponent(value) - exponent(step))).replace("e+", "e");
}

/**
 * @param {Prefixes} prefixes
 * @param {string} unit
 * @param {string} suffix
 * @param {number} most
 * @param {number} step
 * @returns {Writer}
 */
function prefixWriter(prefixes, unit, suffix, most, step) {
  const [size, prefix] = prefixes.find(([one]) => most >= one) ?? [1, unit];
  const digits = decimals(step / size);
  // The prefixes of bytes hold the unit already.
  const name = `${prefix}${prefix === unit || prefixes === BYTE_PREFIXES ? "" : unit}${suffix}`;
  return (value) => `${withDigits(value / size, digits)} ${name}`.trim();
}

/**
 * Seconds within a minute; else two units, or a clock where two units would write two ticks alike.
 * @param {number} most
 * @param {number} step
 * @returns {Writer}
 */
function timeWriter(most, step) {
  if (most < MINUTE_S) {
    const [size, name] = SMALL_TIMES.find(([one]) => most >= one) ?? SMALL_TIMES[SMALL_TIMES.length - 1];
    return (value) => `${withDigits(value / size, decimals(step / size))} ${name}`;
  }
  const isFine = step < 1 || (most >= HOUR_S && step < MINUTE_S) || (most >= DAY_S && step < HOUR_S);
  return isFine ? (value) => clock(value, decimals(step)) : formatDuration;
}

/** @param {number} seconds @param {number} digits */
function clock(seconds, digits) {
  const whole = Math.floor(Number(seconds.toFixed(digits)));
  const rest = (seconds - whole + (whole % 60)).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const [hours, minutes] = [Math.floor(whole / HOUR_S), Math.floor(whole / MINUTE_S) % 60];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** @param {number} value */
const exponent = (value) => Math.floor(Math.log10(Math.abs(value)) + 1e-9);

/**
 * How many decimals tell two ticks apart.
 * @param {number} step between them
 */
function decimals(step) {
  for (let digits = 0; digits < 12; digits += 1) {
    const moved = step * 10 ** digits;
    if (Math.abs(moved - Math.round(moved)) < 1e-6 * moved) return digits;
  }
  return 12;
}

/** @param {number} value @param {number} digits */
function withDigits(value, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return Number(value.toFixed(digits)).toLocaleString("en", options);
}
