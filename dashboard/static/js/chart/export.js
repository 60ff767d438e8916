// Taking a chart away exactly as it is on the screen: as a table, a CSV file, a picture or a drawing.
import { exact, position } from "../shared/format.js";
import { canvasPen, svgPen } from "./renderers.js";
import { DASHES } from "./paint.js";
import { rowsWithin } from "./extents.js";
import { token } from "./colours.js";

const ROWS_SHOWN = 1000;
const TITLE = 34;
const LEGEND_ROW = 18;
const LEGEND_LEFT = 68;

// Rows of the lines that are drawn, of the part that is in sight.
function rowsOf(chart) {
  const { lo, hi } = chart.extent() ?? { lo: -Infinity, hi: Infinity };
  return chart.lines().flatMap((line) => {
    const [first, last] = rowsWithin(line, lo, hi);
    const rows = [];
    for (let row = first; row <= last; row += 1) {
      if (line.x[row] < lo || line.x[row] > hi) continue;
      const value = line.part ?? line.faint ?? line.y;
      const edges = line.part ? [value, value] : [line.low ?? value, line.high ?? value];
      rows.push({ line, x: line.x[row], value: value[row], smoothed: line.faint ? line.y[row] : null, low: edges[0][row], high: edges[1][row] });
    }
    return rows;
  });
}

const oddAt = ({ line, x, value }) => (Number.isNaN(value) ? line.odd.find(([at]) => at === x)?.[1] ?? "NaN" : value);

export function showTable(chart, { title, unit, x }) {
  const dialog = document.createElement("dialog");
  dialog.className = "table-dialog";
  dialog.setAttribute("aria-label", `${title} as a table`);
  const rows = rowsOf(chart);
  const isRaw = chart.lines().every((line) => line.isRaw);
  const isSmoothed = chart.lines().some((line) => line.faint);
  const table = document.createElement("table");
  table.className = "grid-table";
  table.createTHead().insertRow().append(...["Line", "Position", isRaw ? "Value" : "Mean", ...(isSmoothed ? ["Smoothed"] : []), ...(isRaw ? [] : ["Least", "Greatest"])].map((text) => cell("th", text)));
  const body = table.createTBody();
  for (const row of rows.slice(0, ROWS_SHOWN)) {
    const values = [row.value, ...(isSmoothed ? [row.smoothed] : []), ...(isRaw ? [] : [row.low, row.high])];
    body.insertRow().append(cell("td", row.line.label), cell("td", position(row.x, x)), ...values.map((value) => cell("td", exact(value, unit))));
  }
  const bar = document.createElement("form");
  bar.method = "dialog";
  bar.className = "card-head";
  const more = rows.length > ROWS_SHOWN ? `, the first ${ROWS_SHOWN.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows` : "";
  const close = cell("button", "Close");
  close.className = "btn btn-plain btn-tiny push";
  bar.append(cell("h2", `${title}${more}`), close);
  const scroll = document.createElement("div");
  scroll.className = "table-scroll";
  scroll.tabIndex = 0;
  scroll.append(table);
  dialog.append(bar, scroll);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

const quoted = (value) => (value === null || value === undefined ? "" : /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

function columnsOf(chart, x) {
  const head = ["line", "run", "metric", "source", "unit", x, "mean", "smoothed", "min", "max", "is_raw"];
  const rows = rowsOf(chart).map((row) => {
    const { series, isRaw, label } = row.line;
    const ofGroup = row.line.owner !== series.run;
    return [label, ofGroup ? "" : series.run, series.metric, ofGroup ? "" : series.source, series.unit, row.x, oddAt(row), row.smoothed, row.low, row.high, isRaw];
  });
  return { head, rows };
}

export function csvOf(chart, x) {
  const { head, rows } = columnsOf(chart, x);
  return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}

// The same rows by name; what is no finite number stands as its word.
export function jsonOf(chart, x) {
  const { head, rows } = columnsOf(chart, x);
  const plain = (value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value ?? null);
  return JSON.stringify(rows.map((row) => Object.fromEntries(head.map((name, n) => [name, plain(row[n])]))));
}

// Title, axes, lines and the names of what is drawn, onto any pen of this size.
function compose(chart, title) {
  const { width, height } = chart.size();
  const lines = chart.lines();
  const columns = Math.max(1, Math.floor((width - LEGEND_LEFT) / 190));
  const rows = Math.ceil(lines.length / columns);
  return {
    width, height: TITLE + height + rows * LEGEND_ROW + 12,
    paint(pen, total) {
      pen.rect(0, 0, width, total, token("--surface"));
      pen.text(title, 14, 22, { colour: token("--ink"), size: 13, weight: 600 });
      pen.shift(TITLE);
      chart.copyTo(pen);
      pen.unshift();
      lines.forEach((line, index) => paintName(pen, line, LEGEND_LEFT + (index % columns) * 190, TITLE + height + 14 + Math.floor(index / columns) * LEGEND_ROW));
    },
  };
}

function paintName(pen, line, left, top) {
  const path = pen.path();
  path.moveTo(left, top - 4);
  path.lineTo(left + 16, top - 4);
  pen.stroke(path, { colour: line.colour, alpha: 1, width: 2.4, dash: DASHES[line.dash % DASHES.length] });
  let name = line.label;
  while (name.length > 4 && pen.widthOf(name, 11) > 160) name = `${name.slice(0, -2)}…`;
  pen.text(name, left + 22, top, { colour: token("--ink-2"), size: 11 });
}

export function savePicture(chart, title, name) {
  const picture = compose(chart, title);
  const canvas = document.createElement("canvas");
  canvas.width = picture.width * devicePixelRatio;
  canvas.height = picture.height * devicePixelRatio;
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  picture.paint(canvasPen(context), picture.height);
  canvas.toBlob((blob) => save(blob, `${name}.png`));
}

export function svgOf(chart, title) {
  const picture = compose(chart, title);
  const pen = svgPen(picture.width, picture.height);
  picture.paint(pen, picture.height);
  return pen.file();
}

export function saveText(text, type, name) {
  save(new Blob([text], { type }), name);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
