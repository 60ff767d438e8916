// Sending a file: how much of it is there yet, what the server says of it, and a way to stop.
import { metric, parsed } from "../shared/format.js";

const form = document.querySelector("[data-upload]");
const drop = form.querySelector("[data-drop]");
const input = drop.querySelector("input");
const part = (name) => form.querySelector(`[data-${name}]`);
const headers = JSON.parse(document.body.getAttribute("hx-headers"));
const bytes = (size) => metric(size, "bytes");
let sending = null;

input.addEventListener("change", choose);
if (input.files.length) choose(); // chosen before this script was there, or kept by the browser
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, () => drop.classList.add("is-over"));
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("is-over"));

function choose() {
  const [file] = input.files;
  part("chosen").textContent = file ? `${file.name}, ${bytes(file.size)}` : "Choose a file, or drop it here";
  const limit = Number(form.dataset.limit);
  refuse(file && file.size > limit ? `${file.name} has ${bytes(file.size)}; at most ${bytes(limit)} are taken.` : "");
}

function refuse(text) {
  part("problem").textContent = text;
  part("problem").hidden = !text;
  input.setCustomValidity(text);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const [file] = input.files;
  const values = new URLSearchParams({ file_name: file.name, name: form.elements.name.value, licence: form.elements.licence.value });
  if (form.elements.team) values.set("team", form.elements.team.value);
  send(file, `${form.dataset.upload}?${values}`);
});
part("cancel").addEventListener("click", () => sending?.abort());

function send(file, address) {
  sending = new XMLHttpRequest();
  sending.open("POST", address);
  for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.upload.addEventListener("progress", ({ loaded }) => tell(loaded, file.size));
  sending.addEventListener("load", answered);
  sending.addEventListener("error", () => end("The connection broke off. Nothing was kept; send the file again."));
  sending.addEventListener("abort", () => end("Cancelled. Nothing was kept."));
  busy(true);
  tell(0, file.size);
  sending.send(file);
}

function tell(loaded, size) {
  part("progress").querySelector("progress").value = size ? loaded / size : 1;
  part("said").textContent = loaded < size ? `${bytes(loaded)} of ${bytes(size)} sent` : "All sent; the lines are being read…";
}

function answered() {
  const answer = parsed(sending.responseText);
  if (answer.url) location.assign(answer.url);
  else end(answer.problem ?? `The server refused it (${sending.status}).`);
}

function end(text) {
  busy(false);
  part("problem").textContent = text;
  part("problem").hidden = false;
  sending = null;
}

function busy(is) {
  part("progress").hidden = part("cancel").hidden = !is;
  form.querySelector(".btn-go").disabled = is;
  if (is) refuse("");
}
