// Choosing runs by ticking them: counts them on the list of runs, goes there at once on the compare page.
const form = document.querySelector("[data-choose]");
const bar = form.querySelector(".choose-bar");

form.addEventListener("change", () => ("submitAtOnce" in form.dataset ? follow() : count()));
form.addEventListener("reset", () => setTimeout(count));
document.body.addEventListener("htmx:afterSettle", count);

function count() {
  if (!bar) return;
  const chosen = form.querySelectorAll("input[name=run]:checked").length;
  bar.hidden = !chosen;
  bar.querySelector("[data-chosen]").textContent = chosen;
}

// Keeps what else stands in the address (axis, smoothing).
function follow() {
  const query = new URLSearchParams(location.search);
  query.delete("run");
  query.delete("metric");
  for (const [name, value] of new FormData(form)) query.append(name, value);
  location.search = query;
}

count();
