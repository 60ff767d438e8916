// Units for people, as dashboard/templatetags/units.py writes them.
export const COUNT = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
export const BYTES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
const SPANS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const SUFFIX = { bytes: "", bytes_per_s: "/s", w: "W", j: "J", hz: "Hz", flops_per_s: "FLOP/s", tokens: "", tokens_per_s: "/s" };

const odd = (value) => (Number.isNaN(value) ? "NaN" : Number.isFinite(value) ? null : value > 0 ? "∞" : "−∞");

function threeDigits(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : 2);
}

function scaled(value, table, unit) {
  const row = table.find(([size]) => Math.abs(value) >= size);
  if (row) return `${threeDigits(value / row[0])} ${row[1]}${unit}`;
  return unit.startsWith("/") ? `${threeDigits(value)}${unit}` : `${threeDigits(value)} ${unit}`.trim();
}

export function duration(seconds) {
  if (seconds === 0) return "0 s";
  if (Math.abs(seconds) < 1) return `${threeDigits(seconds * 1000)} ms`;
  if (Math.abs(seconds) < 59.95) return `${Number(seconds.toFixed(1))} s`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, name] of SPANS) {
    if (rest >= size || parts.length) {
      parts.push([Math.floor(rest / size), name]);
      rest %= size;
    }
  }
  return parts.slice(0, 2).filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(" ");
}

export function figure(value) {
  if (value && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 8 });
}

// A value with its unit, short enough for a legend or an axis.
export function metric(value, unit) {
  if (value === null || value === undefined) return "–";
  const said = odd(value);
  if (said) return said;
  if (unit === "share") return `${Number((value * 100).toPrecision(3))} %`;
  if (unit === "pct") return `${Number(value.toPrecision(3))} %`;
  if (unit === "s") return duration(value);
  if (unit === "celsius") return `${figure(value)} °C`;
  if (unit === "bytes" || unit === "bytes_per_s") return Math.abs(value) < 1024 ? `${threeDigits(value)} B${SUFFIX[unit]}` : scaled(value, BYTES, SUFFIX[unit]);
  return unit in SUFFIX ? scaled(value, COUNT, SUFFIX[unit]) : figure(value);
}

// A value as it was recorded, for tooltips and tables.
export function exact(value, unit) {
  if (value === null || value === undefined) return "–";
  const said = odd(value);
  if (said) return said;
  const digits = Number(value.toPrecision(9)).toLocaleString("en", { maximumFractionDigits: 12 });
  const short = metric(value, unit);
  return unit && !short.startsWith(digits) ? `${short} (${digits})` : unit ? short : digits;
}

export function position(value, kind) {
  if (kind === "time") return new Date(value * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  if (kind === "relative") return duration(value);
  return `${kind} ${Number(value.toFixed(2)).toLocaleString("en")}`;
}

export function ago(date, now = Date.now()) {
  const seconds = Math.max(0, (now - date.getTime()) / 1000);
  if (seconds < 10) return "just now";
  const [size, name] = SPANS.find(([span]) => seconds >= span);
  return `${Math.floor(seconds / size)} ${name} ago`;
}

export function ahead(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  return seconds >= 1 ? `in ${duration(Math.round(seconds))}` : "any moment";
}

// What an answer holds; nothing where it is no JSON.
export function parsed(text) {
  try { return JSON.parse(text); } catch { return {}; }
}
