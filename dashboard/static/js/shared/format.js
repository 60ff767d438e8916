// Numbers with their units as text, as dashboard/templatetags/units.py writes them on the server.

/** @typedef {[size: number, prefix: string][]} Prefixes Greatest first. */

/** @type {Prefixes} */
export const COUNT_PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
/** @type {Prefixes} */
export const BYTE_PREFIXES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
/** @type {Prefixes} */
const TIME_UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const READING_DIGITS = 6;
/** @type {Prefixes} */
const SMALL_TIMES = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
/** @type {Record<string, string>} */
const SUFFIXES = {
  bytes: "", bytes_per_s: "/s", w: "W", j: "J", hz: "Hz", flops_per_s: "FLOP/s", tokens: "", tokens_per_s: "/s",
  per_s: "/s",
};
/** @type {Record<string, string>} Units that people log in, shown as they are; as in dashboard/html/format.py. */
export const PLAIN_SUFFIXES = {
  ms: "ms", us: "µs", ns: "ns", h: "h", kb: "kB", mb: "MB", gb: "GB", kib: "KiB", mib: "MiB", gib: "GiB",
  kwh: "kWh", wh: "Wh", mhz: "MHz", ghz: "GHz", celsius: "°C",
};

/** @param {number} value @returns {string | null} Null for a finite number. */
function nonFiniteText(value) {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return null;
  return value > 0 ? "∞" : "−∞";
}

/** @param {number} value */
function threeDigits(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** @param {number} value @param {Prefixes} prefixes @param {string} suffix */
function withPrefix(value, prefixes, suffix) {
  const row = prefixes.find(([size]) => Math.abs(value) >= size);
  if (row) return `${threeDigits(value / row[0])} ${row[1]}${suffix}`;
  return suffix.startsWith("/") ? `${threeDigits(value)}${suffix}` : `${threeDigits(value)} ${suffix}`.trim();
}

/**
 * Seconds in at most two units, such as `1 h 5 min`.
 * @param {number} seconds
 * @returns {string}
 */
export function formatDuration(seconds) {
  if (seconds === 0) return "0 s";
  if (Math.abs(seconds) < 1) return `${threeDigits(seconds * 1000)} ms`;
  if (Math.abs(seconds) < 59.95) return `${Number(seconds.toFixed(1))} s`;
  let rest = Math.round(seconds);
  /** @type {[count: number, name: string][]} */
  const parts = [];
  for (const [size, name] of TIME_UNITS) {
    if (rest >= size || parts.length) {
      parts.push([Math.floor(rest / size), name]);
      rest %= size;
    }
  }
  return parts.slice(0, 2).filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(" ");
}

/** @param {number} value */
function formatNumber(value) {
  if (value && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 8 });
}

/**
 * A value with its unit, short enough for a legend or an axis.
 * @param {number | null | undefined} value
 * @param {string} unit one of engine/telemetry/metrics.py, or "" for a plain number
 * @returns {string}
 */
export function formatMetric(value, unit) {
  if (value === null || value === undefined) return "–";
  const text = nonFiniteText(value);
  if (text) return text;
  if (unit === "share") return `${Number((value * 100).toPrecision(3))} %`;
  if (unit === "pct") return `${Number(value.toPrecision(3))} %`;
  if (unit === "s") return formatDuration(value);
  if (unit in PLAIN_SUFFIXES) return `${formatNumber(value)} ${PLAIN_SUFFIXES[unit]}`;
  if (unit === "bytes" || unit === "bytes_per_s") return formatBytes(value, SUFFIXES[unit]);
  return unit in SUFFIXES ? withPrefix(value, COUNT_PREFIXES, SUFFIXES[unit]) : formatNumber(value);
}

/** @param {number} value @param {string} suffix */
function formatBytes(value, suffix) {
  if (Math.abs(value) < 1024) return `${threeDigits(value)} B${suffix}`;
  return withPrefix(value, BYTE_PREFIXES, suffix);
}

/**
 * A value with all digits that were recorded, for tooltips and tables.
 * @param {number | null | undefined} value
 * @param {string} unit
 * @returns {string}
 */
export function formatExact(value, unit) {
  if (value === null || value === undefined) return "–";
  const text = nonFiniteText(value);
  if (text) return text;
  const digits = Number(value.toPrecision(9)).toLocaleString("en", { maximumFractionDigits: 12 });
  if (!unit) return digits;
  const short = formatMetric(value, unit);
  return short.startsWith(digits) ? short : `${short} (${digits})`;
}

/**
 * How many decimals plain numbers in one column have, so that they are aligned; null where their sizes differ too much.
 * @param {number[]} values
 * @param {string} unit
 * @returns {number | null}
 */
export function commonDecimals(values, unit) {
  const sizes = values.map(Math.abs).filter((size) => size && Number.isFinite(size));
  const most = Math.max(...sizes);
  if (unit || !sizes.length || most >= 1e6 || Math.min(...sizes) < Math.max(1e-4, most / 1e3)) return null;
  return values.every(Number.isInteger) ? 0 : Math.max(0, READING_DIGITS - 1 - Math.floor(Math.log10(most)));
}

/**
 * A value for a tooltip: six digits, or five with a unit.
 * @param {number | null | undefined} value
 * @param {string} unit
 * @param {number | null} [decimals] of a plain number
 * @returns {string}
 */
export function formatReading(value, unit, decimals = null) {
  if (decimals !== null && Number.isFinite(value)) {
    return Number(value).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  }
  if (value === null || value === undefined || !Number.isFinite(value)) return formatMetric(value, unit);
  if (unit === "share") return `${trimmed(value * 100, 5)} %`;
  if (unit === "pct") return `${trimmed(value, 5)} %`;
  if (!unit) return trimmed(value, READING_DIGITS);
  if (unit in PLAIN_SUFFIXES) return `${trimmed(value, 5)} ${PLAIN_SUFFIXES[unit]}`;
  if (unit === "s" && Math.abs(value) < 60) return prefixed(value, SMALL_TIMES, "", "s");
  if (unit.startsWith("bytes")) return prefixed(value, BYTE_PREFIXES, SUFFIXES[unit], "B");
  return unit in SUFFIXES ? prefixed(value, COUNT_PREFIXES, SUFFIXES[unit], "") : formatMetric(value, unit);
}

/** @param {number} value @param {Prefixes} prefixes @param {string} suffix @param {string} plain below all prefixes */
function prefixed(value, prefixes, suffix, plain) {
  const [size, prefix] = prefixes.find(([one]) => Math.abs(value) >= one) ?? [1, plain];
  return joined(trimmed(value / size, 5), `${prefix}${suffix}`);
}

/** @param {number} value @param {number} digits */
function trimmed(value, digits) {
  if (value && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e9)) {
    return Number(value.toPrecision(digits)).toExponential();
  }
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 12 });
}

/** @param {string} number @param {string} unit */
const joined = (number, unit) => (unit.startsWith("/") ? number + unit : `${number} ${unit}`.trim());

/**
 * A position on the x axis of a chart.
 * @param {number} value
 * @param {string} axis
 * @returns {string}
 */
export function formatPosition(value, axis) {
  if (axis === "time") {
    return new Date(value * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  }
  if (axis === "relative") return formatDuration(value);
  return `${axis} ${Number(value.toFixed(2)).toLocaleString("en")}`;
}

/**
 * @param {Date} date in the past
 * @param {number} [now] milliseconds
 * @returns {string}
 */
export function formatAgo(date, now = Date.now()) {
  const seconds = Math.max(0, (now - date.getTime()) / 1000);
  const row = seconds < 10 ? undefined : TIME_UNITS.find(([size]) => seconds >= size);
  return row ? `${Math.floor(seconds / row[0])} ${row[1]} ago` : "just now";
}

/**
 * @param {Date} date in the future
 * @param {number} [now] milliseconds
 * @returns {string}
 */
export function formatUntil(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  return seconds >= 1 ? `in ${formatDuration(Math.round(seconds))}` : "any moment";
}
