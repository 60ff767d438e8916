// The menu of saved views: saves or copies the address of the page as it is at that moment.
import { find, required } from "./dom.js";
import { showNotice } from "./notices.js";

const menu = find(document, "[data-saved]", HTMLDetailsElement);

/** @param {HTMLDetailsElement} details */
async function copyAddress(details) {
  const address = new URL(location.href);
  address.searchParams.delete("view");
  await navigator.clipboard.writeText(address.href);
  details.open = false;
  showNotice("Copied. Who opens it sees this page as it is now.", "good");
}

if (menu) {
  menu.addEventListener("submit", ({ target }) => {
    const field = target instanceof HTMLFormElement && find(target, "[data-query]", HTMLInputElement);
    if (field) field.value = location.search.slice(1);
  });
  required(menu, "[data-copy-address]").addEventListener("click", () => copyAddress(menu));
}
