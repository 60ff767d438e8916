// A chart as it is on the screen, taken elsewhere: as a table, a CSV or JSON file, a PNG or an SVG picture.
/** @import { Line, Renderer, XAxis } from "./types.d.ts" */
/** @import { Plot } from "./plot.js" */
import { context2d, create } from "../shared/dom.js";
import { formatExact, formatPosition } from "../shared/format.js";
import { cutMiddle } from "../shared/names.js";
import { cssVariable } from "./colours.js";
import { visibleRows } from "./extents.js";
import { DASHES } from "./paint.js";
import { CanvasRenderer, SvgRenderer } from "./renderers.js";

const MAX_TABLE_ROWS = 1000;
const TITLE_HEIGHT = 34;
const LEGEND_ROW = 18;
const LEGEND_LEFT = 68;
const SWATCH_WIDTH = 22;
const COLUMN_GAP = 14;
const NAME_WIDTH = 260; // at most
const NAME_SIZE = 11;
const AXIS_TITLE = 18; // height of the row below the x axis, and what the y axis is moved by
const MIN_RATIO = 2; // pixels of a picture in one of the screen
const REVOKE_MS = 10_000; // until a saved file has surely been read

/** @typedef {{ line: Line, x: number, value: number, smoothed: number | null, low: number, high: number }} Row */
/** @typedef {string | number | boolean | null} Cell */

/**
 * Rows of the lines that are drawn, of the part that is in sight.
 * @param {Plot} plot
 * @returns {Row[]}
 */
function rowsOf(plot) {
  const { lo, hi } = plot.extent() ?? { lo: -Infinity, hi: Infinity };
  return plot.lines.flatMap((line) => {
    const [first, last] = visibleRows(line, lo, hi);
    const values = line.ownValues ?? line.unsmoothed ?? line.y;
    const [lows, highs] = line.ownValues ? [values, values] : [line.low ?? values, line.high ?? values];
    const rows = [];
    for (let row = first; row <= last; row += 1) {
      if (line.x[row] < lo || line.x[row] > hi) continue;
      const smoothed = line.unsmoothed ? line.y[row] : null;
      rows.push({ line, x: line.x[row], value: values[row], smoothed, low: lows[row], high: highs[row] });
    }
    return rows;
  });
}

/** @param {Row} row The value, or the word for one that is not finite. */
function valueOrWord({ line, x, value }) {
  return Number.isNaN(value) ? line.nonFinite.find(([at]) => at === x)?.[1] ?? "NaN" : value;
}

/**
 * Opens a dialog with the rows of a chart.
 * @param {Plot} plot
 * @param {{ title: string, unit: string, x: XAxis }} panel
 */
export function showTable(plot, { title, unit, x }) {
  const rows = rowsOf(plot);
  const [shown, all] = [MAX_TABLE_ROWS, rows.length].map((count) => count.toLocaleString("en"));
  const more = rows.length > MAX_TABLE_ROWS ? `, the first ${shown} of ${all} rows (CSV has all)` : "";
  const className = "btn btn-plain btn-tiny push";
  const bar = create("form", { method: "dialog", className: "card-head" },
    create("h2", {}, `${title}${more}`), create("button", { className }, "Close"));
  const scroll = create("div", { className: "table-scroll", tabIndex: 0 }, tableOf(plot, rows, unit, x));
  const dialog = create("dialog", { className: "table-dialog" }, bar, scroll);
  dialog.setAttribute("aria-label", `${title} as a table`);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {Plot} plot @param {Row[]} rows @param {string} unit @param {XAxis} x */
function tableOf(plot, rows, unit, x) {
  const isRaw = plot.lines.every((line) => line.isRaw);
  const isSmoothed = plot.lines.some((line) => line.unsmoothed);
  const table = create("table", { className: "grid-table" });
  const titles = [
    "Line", "Position", isRaw ? "Value" : "Mean", ...(isSmoothed ? ["Smoothed"] : []),
    ...(isRaw ? [] : ["Least", "Greatest"]),
  ];
  table.createTHead().insertRow().append(...titles.map((text) => create("th", {}, text)));
  const body = table.createTBody();
  for (const row of rows.slice(0, MAX_TABLE_ROWS)) {
    const values = [row.value, ...(isSmoothed ? [row.smoothed] : []), ...(isRaw ? [] : [row.low, row.high])];
    const texts = [row.line.label, formatPosition(row.x, x), ...values.map((value) => formatExact(value, unit))];
    body.insertRow().append(...texts.map((text) => create("td", {}, text)));
  }
  return table;
}

/**
 * @param {Plot} plot
 * @param {XAxis} x
 * @returns {{ head: string[], rows: Cell[][] }}
 */
function columnsOf(plot, x) {
  const head = ["line", "run", "metric", "source", "unit", x, "mean", "smoothed", "min", "max", "is_raw"];
  const rows = rowsOf(plot).map((row) => {
    const { series, isRaw, label, owner } = row.line;
    const isGroup = owner !== series.run;
    return [
      label, isGroup ? "" : series.run, series.metric, isGroup ? "" : series.source, series.unit, row.x,
      valueOrWord(row), row.smoothed, row.low, row.high, isRaw,
    ];
  });
  return { head, rows };
}

/** @param {Cell} value */
function quoted(value) {
  if (value === null) return "";
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * @param {Plot} plot
 * @param {XAxis} x
 * @returns {string}
 */
export function toCsv(plot, x) {
  const { head, rows } = columnsOf(plot, x);
  return `${[head, ...rows].map((row) => row.map(quoted).join(",")).join("\n")}\n`;
}

/**
 * The rows of the CSV file as objects; a number that is not finite stands as its word.
 * @param {Plot} plot
 * @param {XAxis} x
 * @returns {string}
 */
export function toJson(plot, x) {
  const { head, rows } = columnsOf(plot, x);
  const plain = (/** @type {Cell} */ value) =>
    (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
  return JSON.stringify(rows.map((row) => Object.fromEntries(head.map((name, index) => [name, plain(row[index])]))));
}

/**
 * @typedef {object} Caption
 * @property {string} title
 * @property {string} x title of the x axis
 * @property {string} y title of the y axis
 */

/**
 * Title, axes with their titles, lines and their names, for a renderer of this size.
 * @param {Plot} plot
 * @param {Caption} caption
 */
function pictureOf(plot, caption) {
  const size = plot.size();
  const [width, height] = [size.width + AXIS_TITLE, size.height + AXIS_TITLE];
  const legend = legendOf(plot.lines, width - LEGEND_LEFT);
  const total = TITLE_HEIGHT + height + legend.numRows * LEGEND_ROW + 12;
  return {
    width,
    height: total,
    /** @param {Renderer} renderer */
    paint(renderer) {
      renderer.rect(0, 0, width, total, cssVariable("--surface"));
      renderer.text(caption.title, 14, 22, { colour: cssVariable("--ink"), size: 13, weight: 600 });
      renderer.move(AXIS_TITLE, TITLE_HEIGHT);
      plot.copyTo(renderer);
      renderer.moveBack();
      paintAxisTitles(renderer, plot, caption);
      renderer.move(LEGEND_LEFT, TITLE_HEIGHT + height + 14);
      plot.lines.forEach((line, index) => {
        const [column, row] = [index % legend.numColumns, Math.floor(index / legend.numColumns)];
        paintName(renderer, line, legend.names[index], column * legend.columnWidth, row * LEGEND_ROW);
      });
      renderer.moveBack();
    },
  };
}

/** @param {Renderer} renderer @param {Plot} plot @param {Caption} caption */
function paintAxisTitles(renderer, plot, { x, y }) {
  const { left, top, width, height } = plot.box();
  const style = { colour: cssVariable("--ink-2"), size: NAME_SIZE, align: /** @type {const} */ ("center") };
  renderer.text(x, AXIS_TITLE + left + width / 2, TITLE_HEIGHT + plot.size().height + 12, style);
  renderer.text(y, 14, TITLE_HEIGHT + top + height / 2, { ...style, isUpright: true });
}

/**
 * Names as wide as the longest, in as many columns as fit.
 * @param {Line[]} lines
 * @param {number} width
 */
function legendOf(lines, width) {
  const measure = context2d(create("canvas"));
  measure.font = `${NAME_SIZE}px Inter, sans-serif`;
  const most = Math.min(NAME_WIDTH, width - SWATCH_WIDTH);
  const fits = (/** @type {string} */ text) => measure.measureText(text).width <= most;
  const names = lines.map((line) => cutMiddle(line.short, fits));
  const widest = Math.max(0, ...names.map((name) => measure.measureText(name).width));
  const columnWidth = Math.ceil(widest) + SWATCH_WIDTH + COLUMN_GAP;
  const numColumns = Math.max(1, Math.floor((width + COLUMN_GAP) / columnWidth));
  return { names, columnWidth, numColumns, numRows: Math.ceil(lines.length / numColumns) };
}

/** @param {Renderer} renderer @param {Line} line @param {string} name @param {number} left @param {number} top */
function paintName(renderer, line, name, left, top) {
  const path = renderer.path();
  path.moveTo(left, top - 4);
  path.lineTo(left + 16, top - 4);
  renderer.stroke(path, { colour: line.colour, alpha: 1, width: 2.4, dash: DASHES[line.dash % DASHES.length] });
  renderer.text(name, left + SWATCH_WIDTH, top, { colour: cssVariable("--ink-2"), size: NAME_SIZE });
}

/**
 * Saves a chart as a PNG file with at least two pixels for one of the screen, so that it is sharp in print.
 * @param {Plot} plot
 * @param {Caption} caption
 * @param {string} fileName
 */
export function savePng(plot, caption, fileName) {
  const picture = pictureOf(plot, caption);
  const ratio = Math.max(MIN_RATIO, devicePixelRatio);
  const canvas = create("canvas", { width: picture.width * ratio, height: picture.height * ratio });
  const context = context2d(canvas);
  context.scale(ratio, ratio);
  picture.paint(new CanvasRenderer(context));
  canvas.toBlob((blob) => blob && saveBlob(blob, fileName));
}

/**
 * @param {Plot} plot
 * @param {Caption} caption
 * @returns {string}
 */
export function toSvg(plot, caption) {
  const picture = pictureOf(plot, caption);
  const renderer = new SvgRenderer(picture.width, picture.height);
  picture.paint(renderer);
  return renderer.file();
}

/**
 * Saves a text as a file.
 * @param {string} text
 * @param {string} type its media type
 * @param {string} fileName
 */
export function saveText(text, type, fileName) {
  saveBlob(new Blob([text], { type }), fileName);
}

/** @param {Blob} blob @param {string} fileName */
function saveBlob(blob, fileName) {
  const link = create("a", { href: URL.createObjectURL(blob), download: fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS);
}
