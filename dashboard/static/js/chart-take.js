// Taking a chart's figures away: as a table on the page, a CSV file or a picture.
import { exact, position } from "./format.js";

const ROWS_SHOWN = 1000;

function rowsOf(list, label) {
  return list.flatMap((series) => series.x.map((x, row) => [label(series), x, series.mean[row], series.min[row], series.max[row], series.is_raw]));
}

export function showTable(list, { title, unit, label, x }) {
  const dialog = document.createElement("dialog");
  dialog.className = "table-dialog";
  dialog.setAttribute("aria-label", `${title} as a table`);
  const rows = rowsOf(list, label);
  const isRaw = list.every((series) => series.is_raw);
  const head = ["Series", "Position", ...(isRaw ? ["Value"] : ["Mean", "Least", "Greatest"])];
  const table = document.createElement("table");
  table.className = "grid-table";
  table.createTHead().insertRow().append(...head.map((text) => cell("th", text)));
  const body = table.createTBody();
  for (const [name, at, mean, low, high] of rows.slice(0, ROWS_SHOWN)) {
    const values = isRaw ? [mean] : [mean, low, high];
    body.insertRow().append(cell("td", name), cell("td", position(at, x)), ...values.map((value) => cell("td", exact(value, unit))));
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

export function saveCsv(list, { name, x }) {
  const head = ["run", "metric", "source", "unit", x, "mean", "min", "max", "is_raw"];
  const rows = list.flatMap((series) => series.x.map((at, row) => [series.run, series.metric, series.source, series.unit, at, series.mean[row], series.min[row], series.max[row], series.is_raw]));
  save(new Blob([[head, ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n"], { type: "text/csv" }), `${name}.csv`);
}

export function savePicture(canvas, name) {
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height;
  const context = picture.getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, 0);
  picture.toBlob((blob) => save(blob, `${name}.png`));
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
