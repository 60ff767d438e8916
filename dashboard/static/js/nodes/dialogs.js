// Dialogs that a page fetches when they are asked for. They stand outside of what refreshes by itself: news do not reset
// what was typed. Without a script the same addresses are pages of their own.
const ask = document.getElementById("ask");
const body = document.getElementById("ask-body");
const mark = document.getElementById("mark");

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-ask]");
  const device = event.target.closest("[data-mark]");
  const close = event.target.closest("dialog [data-close]");
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    open(link.href);
  } else if (device) openMark(device);
  else if (close) {
    event.preventDefault();
    close.closest("dialog").close();
  }
});

async function open(address) {
  await htmx.ajax("GET", address, { source: body, target: body, swap: "innerHTML" });
  if (!body.firstElementChild) return;
  ask.showModal();
  body.querySelector("input:not([type=hidden])")?.focus();
}

function openMark(button) {
  const form = mark.querySelector("form");
  form.reset();
  form.action = button.dataset.mark;
  form.setAttribute("hx-post", button.dataset.mark);
  htmx.process(form);
  document.getElementById("mark-title").textContent = `Device ${button.dataset.name}`;
  for (const choice of form.elements.health) choice.checked = choice.value === button.dataset.health;
  mark.showModal();
}

// A form that is refused comes back with what was typed and the reasons; one that is carried out closes its dialog.
document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.xhr.status === 204) detail.elt.closest("dialog")?.close();
});
