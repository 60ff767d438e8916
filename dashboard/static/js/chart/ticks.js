// Where an axis has its ticks and what stands at them: one unit and one number of decimals for the whole axis.
import { BYTES, COUNT, duration, metric } from "../shared/format.js";

const TENS = powers(10, -9, 15, [1, 2, 5]);
const WHOLE = powers(10, 0, 15, [1, 2, 5]);
const TWOS = powers(2, 0, 56, [1]);
const SPANS = [
  ...TENS.filter((size) => size < 1), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  ...[1, 2, 3, 6, 12, 24].map((hours) => hours * 3600),
  ...powers(10, 0, 4, [2, 5, 10]).map((days) => days * 86400),
];
const SMALL_SPANS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
const DECIMALS_MOST = 5;

function powers(base, first, last, steps) {
  const found = [];
  for (let power = first; power <= last; power += 1) for (const step of steps) found.push(Number((step * base ** power).toPrecision(15)));
  return found;
}

// Distances that a person would choose between two ticks: halves of bytes, not of thousands; minutes, not hundreds of seconds.
export function increments(unit) {
  if (unit === "bytes" || unit === "bytes_per_s") return TWOS;
  if (unit === "s") return SPANS;
  return unit === "step" || unit === "tokens" ? WHOLE : TENS;
}

export function tickTexts(splits, unit, step) {
  const write = writer(unit, Math.max(...splits.map(Math.abs)), step);
  // Sums of a step that has no exact binary form miss nought by a hair.
  return splits.map((value) => (Math.abs(value) < step / 1e6 ? "0" : write(value)));
}

// On a logarithmic axis every tick has a size of its own; those left out are null.
export const logTexts = (splits, unit) => splits.map((value) => {
  if (value === null) return "";
  return unit === "" && value < 0.01 ? Number(value.toPrecision(3)).toExponential() : plain(metric(value, unit));
});

// Ticks begin at the lower end, so that is a round number; the upper end is one too unless half the chart stayed empty.
export function logRange(low, high, base) {
  if (low === null) return [1, base];
  const [bottom, top] = uPlot.rangeLog(low, high, base, false);
  return [bottom, top > 2 * high ? high * 1.1 : top];
}

// The title says what is measured: of these units only the prefix is worth its place.
const plain = (text) => text.replace(/(FLOP\/s|(?<!B)\/s)$/, "").trim();

function writer(unit, most, step) {
  if (unit === "s") return ofSpan(most, step);
  if (unit === "bytes" || unit === "bytes_per_s") return scaled(BYTES, "B", unit === "bytes" ? "" : "/s", most, step);
  if (unit === "share") return (value) => `${grouped(value * 100, decimals(step * 100))} %`;
  if (unit === "pct") return (value) => `${grouped(value, decimals(step))} %`;
  if (unit === "celsius") return (value) => `${grouped(value, decimals(step))} °C`;
  if (unit === "step") return most < 1e6 ? (value) => grouped(value, 0) : scaled(COUNT, "", "", most, step);
  const prefixed = { w: "W", j: "J", hz: "Hz", flops_per_s: "", tokens: "", tokens_per_s: "" };
  if (unit in prefixed) return scaled(COUNT, prefixed[unit], "", most, step);
  if (most >= 1e6 || decimals(step) > DECIMALS_MOST) return (value) => value.toExponential(Math.max(0, exponent(value) - exponent(step))).replace("e+", "e");
  return (value) => grouped(value, decimals(step));
}

function scaled(table, bare, tail, most, step) {
  const [size, prefix] = table.find(([one]) => most >= one) ?? [1, bare];
  const digits = decimals(step / size);
  const name = `${prefix}${prefix === bare || table === BYTES ? "" : bare}${tail}`;
  return (value) => `${grouped(value / size, digits)} ${name}`.trim();
}

// Within a minute in seconds; else in two units, and as a clock where two units would say the same twice.
function ofSpan(most, step) {
  if (most < 60) {
    const [size, name] = SMALL_SPANS.find(([one]) => most >= one) ?? SMALL_SPANS.at(-1);
    return (value) => `${grouped(value / size, decimals(step / size))} ${name}`;
  }
  const isFine = step < 1 || (most >= 3600 && step < 60) || (most >= 86400 && step < 3600);
  return isFine ? (value) => clock(value, decimals(step)) : duration;
}

function clock(seconds, digits) {
  const whole = Math.floor(Number(seconds.toFixed(digits)));
  const rest = (seconds - whole + (whole % 60)).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const exponent = (value) => Math.floor(Math.log10(Math.abs(value)) + 1e-9);

// How many digits behind the point tell two ticks apart that are so far from each other.
function decimals(step) {
  for (let digits = 0; digits < 12; digits += 1) {
    const moved = step * 10 ** digits;
    if (Math.abs(moved - Math.round(moved)) < 1e-6 * moved) return digits;
  }
  return 12;
}

const grouped = (value, digits) => Number(value.toFixed(digits)).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
