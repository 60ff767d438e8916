// The upload form of a data set: how much of the file has been sent, what the server answers, and a way to cancel.
import { find, required } from "../shared/dom.js";
import { formatMetric } from "../shared/format.js";
import { parseJson, requestHeaders } from "../shared/requests.js";

const form = required(document, "[data-upload]", HTMLFormElement);
const dropArea = required(form, "[data-drop]");
const fileInput = required(dropArea, "input", HTMLInputElement);
const problemText = required(form, "[data-problem]");
const cancelButton = required(form, "[data-cancel]");
/** @type {XMLHttpRequest | null} */
let request = null;

/** @param {number} size */
const formatBytes = (size) => formatMetric(size, "bytes");

const chosenFile = () => fileInput.files?.[0];

function showChosenFile() {
  const file = chosenFile();
  const text = file ? `${file.name}, ${formatBytes(file.size)}` : "Choose a file, or drop it here";
  required(form, "[data-chosen]").textContent = text;
  const limit = Number(form.dataset.limit);
  const isTooLarge = file !== undefined && file.size > limit;
  refuse(isTooLarge ? `${file.name} has ${formatBytes(file.size)}; at most ${formatBytes(limit)} are taken.` : "");
}

/** @param {string} problem Why the file cannot be sent; empty where it can. */
function refuse(problem) {
  problemText.textContent = problem;
  problemText.hidden = !problem;
  fileInput.setCustomValidity(problem);
}

/** @param {string} name @returns {string | undefined} The value of a field; undefined where the form has none. */
const fieldValue = (name) => {
  const field = find(form, `[name="${name}"]`, Element);
  return field instanceof HTMLInputElement || field instanceof HTMLSelectElement ? field.value : undefined;
};

/** @param {File} file */
function send(file) {
  const query = new URLSearchParams({
    file_name: file.name, name: fieldValue("name") ?? "", licence: fieldValue("licence") ?? "",
    fields: fieldValue("fields") ?? "",
  });
  const team = fieldValue("team");
  if (team !== undefined) query.set("team", team);
  const sending = new XMLHttpRequest(); // fetch does not report how much has been sent
  request = sending;
  sending.open("POST", `${form.dataset.upload}?${query}`);
  for (const [name, value] of Object.entries(requestHeaders())) sending.setRequestHeader(name, value);
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.upload.addEventListener("progress", ({ loaded }) => showProgress(loaded, file.size));
  sending.addEventListener("load", () => onAnswer(sending));
  sending.addEventListener("error", () => end("The connection broke off. Nothing was kept; send the file again."));
  sending.addEventListener("abort", () => end("Cancelled. Nothing was kept."));
  setBusy(true);
  showProgress(0, file.size);
  sending.send(file);
}

/** @param {number} sent @param {number} size in bytes */
function showProgress(sent, size) {
  required(form, "[data-progress] progress", HTMLProgressElement).value = size ? sent / size : 1;
  const text = `${formatBytes(sent)} of ${formatBytes(size)} sent`;
  required(form, "[data-status]").textContent = sent < size ? text : "All sent; the lines are being read…";
}

/** @param {XMLHttpRequest} answered */
function onAnswer({ responseText, status }) {
  const answer = parseJson(responseText);
  if (answer.url) location.assign(answer.url);
  else end(answer.problem ?? `The server refused it (${status}).`);
}

/** @param {string} problem */
function end(problem) {
  setBusy(false);
  problemText.textContent = problem;
  problemText.hidden = false;
  request = null;
}

/** @param {boolean} isBusy */
function setBusy(isBusy) {
  required(form, "[data-progress]").hidden = !isBusy;
  cancelButton.hidden = !isBusy;
  required(form, ".btn-go", HTMLButtonElement).disabled = isBusy;
  if (isBusy) refuse("");
}

fileInput.addEventListener("change", showChosenFile);
if (chosenFile()) showChosenFile(); // chosen before this script ran, or kept by the browser
for (const type of ["dragenter", "dragover"]) {
  dropArea.addEventListener(type, () => dropArea.classList.add("is-over"));
}
for (const type of ["dragleave", "drop"]) {
  dropArea.addEventListener(type, () => dropArea.classList.remove("is-over"));
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const file = chosenFile();
  if (file) send(file);
});
cancelButton.addEventListener("click", () => request?.abort());
