// The table of runs: links, toggles and groups; the rest of it listens from its own files.
import { listenToChoice } from "./selection.js";
import { listenToFilter } from "./filter.js";
import { listenToLive } from "./live-rows.js";
import { listenToMarks } from "./annotations.js";
import { listenToPicker } from "./column-picker.js";
import { address, changed, parsedRows, section, show, toggled } from "./state.js";
import { fitWidths, listenToWidths } from "./column-widths.js";

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-soft]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    show(link.dataset.narrow ? address({ filter: link.dataset.narrow }) : link.getAttribute("href"));
    return;
  }
  const toggle = event.target.closest("[data-toggle]");
  if (toggle) show(toggled(toggle.dataset.toggle, toggle.closest("tr").dataset.run));
  if (event.target.closest("[data-differs]")) show(address({ differs: new URLSearchParams(section().dataset.state.slice(1)).has("differs") ? null : "1" }));
  if (event.target.closest("[data-show-archived]")) show(address({ filter: "is:archived" }));
  if (event.target.closest("[data-filter-help]")) document.getElementById("filter-help").showModal();
  event.target.closest("[data-leave]")?.closest("dialog").close();
  const expander = event.target.closest("[data-expand]");
  if (expander) expand(expander);
});

// The runs of a group under its row.
async function expand(button) {
  const row = button.closest("tr");
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) { while (row.nextElementSibling?.dataset.run !== undefined) row.nextElementSibling.remove(); changed(); return; }
  const query = address({ filter: row.dataset.group, group: null, pin: null, col: numbersShown() });
  const answer = await fetch(`${location.pathname}${query}&part=rows`);
  if (!answer.ok) return;
  const rows = parsedRows(await answer.text());
  for (const one of rows) { one.querySelector(".tick-col").remove(); one.insertBefore(document.createElement("td"), one.children[1] ?? null); one.removeAttribute("id"); one.classList.add("is-in-group"); }
  row.after(...rows);
  changed();
}

const numbersShown = () => [...section().querySelectorAll("th[data-key]")].map((head) => head.dataset.key);

addEventListener("popstate", () => { show(location.search, { keep: true }); });

listenToFilter();
listenToChoice();
listenToMarks();
listenToPicker();
listenToWidths();
listenToLive();
fitWidths();
