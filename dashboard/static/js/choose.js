// Choosing runs by ticking them: kept and counted on the list of runs, followed at once on the compare page.
const form = document.querySelector("[data-choose]");
const bar = form.querySelector(".choose-bar");
const chosen = new Set(); // also of runs that another page, order or search shows

const boxes = () => [...form.querySelectorAll("input[type=checkbox][name=run]")];

form.addEventListener("change", ({ target }) => {
  if ("submitAtOnce" in form.dataset) follow();
  else if (target.name === "run") {
    target.checked ? chosen.add(target.value) : chosen.delete(target.value);
    count();
  }
});
form.addEventListener("reset", () => { chosen.clear(); count(); });
document.body.addEventListener("htmx:afterSettle", count);
document.addEventListener("compare-chosen", () => chosen.size && form.requestSubmit());

// The list is drawn anew whenever a job changes: what was ticked is ticked again, what is not on it goes along unseen.
function count() {
  if (!bar) return;
  const here = new Set(boxes().map((box) => box.value));
  for (const box of boxes()) box.checked = chosen.has(box.value);
  bar.hidden = !chosen.size;
  bar.querySelector("[data-chosen]").textContent = chosen.size;
  bar.querySelectorAll("input").forEach((unseen) => unseen.remove());
  for (const id of chosen) if (!here.has(id)) bar.append(hidden(id));
}

function hidden(id) {
  const input = document.createElement("input");
  Object.assign(input, { type: "hidden", name: "run", value: id });
  return input;
}

// Keeps what else stands in the address (axis, smoothing).
function follow() {
  const query = new URLSearchParams(location.search);
  query.delete("run");
  query.delete("metric");
  for (const [name, value] of new FormData(form)) query.append(name, value);
  location.search = query;
}

if (bar) for (const box of boxes()) if (box.checked) chosen.add(box.value); // as the browser remembers them
count();
