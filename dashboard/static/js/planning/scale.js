// Where a value of a field stands between 0 and 1, and the ticks of its axis: numbers, their logarithm, or words in order.
import { exact, metric } from "../shared/format.js";
import { increments, tickTexts } from "../chart/ticks.js";

const ROOM = 0.04; // left free at both ends, so that no point lies on the edge

// log: true, false, or "auto" for values that are all positive and span two powers of ten.
export function makeScale(field, values, { log = false, ticks = 5 } = {}) {
  const known = values.filter((value) => value !== null && !isOdd(value));
  if (!known.length) return { place: () => null, ticks: [], write: String, exactly: String, read: Number, find: Number };
  if (known.some((value) => typeof value === "string")) return ofWords(known);
  const isPositive = log && known.every((value) => value > 0);
  return ofNumbers(field, known, isPositive && (log !== "auto" || spread(known) >= 100), ticks);
}

const spread = (values) => values.reduce((most, value) => Math.max(most, value)) / values.reduce((least, value) => Math.min(least, value));

// What cannot be placed: a metric that is not finite comes as a text.
export const isOdd = (value) => value === "NaN" || value === "Infinity" || value === "-Infinity";

function ofWords(known) {
  const words = [...new Set(known.map(String))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const at = new Map(words.map((word, index) => [word, words.length === 1 ? 0.5 : ROOM + (1 - 2 * ROOM) * index / (words.length - 1)]));
  const every = Math.ceil(words.length / 12);
  return {
    place: (value) => (value === null || isOdd(value) ? null : at.get(String(value)) ?? null),
    ticks: words.filter((_, index) => index % every === 0).map((word) => ({ at: at.get(word), text: word })),
    write: String,
    exactly: String,
    read: (at) => at.toFixed(4), // between words there is no value to name
    find: Number,
  };
}

function ofNumbers(field, known, log, count) {
  const bend = log ? Math.log10 : (value) => value;
  let [low, high] = known.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]).map(bend);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const place = (value) => (value === null || typeof value === "string" || (log && value <= 0) ? null : ROOM + (1 - 2 * ROOM) * (bend(value) - low) / (high - low));
  const step = log ? null : stepOf(low, high, increments(field.unit === "time" ? "s" : field.unit), count);
  const splits = log ? powers(low, high) : regular(low, high, step);
  const texts = log ? splits.map((value) => metric(value, field.unit)) : written(splits, field.unit, step);
  return {
    place,
    read: (at) => { const value = low + (high - low) * (at - ROOM) / (1 - 2 * ROOM); return String(Number((log ? 10 ** value : value).toPrecision(6))); },
    find: (text) => Math.min(1, Math.max(0, place(Number(text)) ?? 0)),
    ticks: splits.map((value, index) => ({ at: place(value), text: texts[index] })),
    write: (value) => (field.unit === "time" ? date(value) : metric(value, field.unit)),
    exactly: (value) => (field.unit === "time" ? date(value) : exact(value, field.unit)),
  };
}

const written = (splits, unit, step) => (unit === "time" ? splits.map(date) : tickTexts(splits, unit, step));

const date = (seconds) => new Date(seconds * 1000).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

const stepOf = (low, high, sizes, count) => sizes.find((size) => (high - low) / size <= count) ?? sizes.at(-1);

function regular(low, high, step) {
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
  return found;
}

function powers(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of high - low < 2 ? [1, 2, 5] : [1]) {
      const value = Number((digit * 10 ** power).toPrecision(12));
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) found.push(value);
    }
  }
  return found;
}
