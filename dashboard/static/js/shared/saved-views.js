// The menu of saved views: what is saved or copied is the address as it stands at that moment.
import { say } from "../app.js";

const menu = document.querySelector("[data-saved]");
menu?.addEventListener("submit", ({ target }) => {
  const field = target.querySelector("[data-query]");
  if (field) field.value = location.search.slice(1);
});
menu?.querySelector("[data-copy-address]").addEventListener("click", async () => {
  const address = new URL(location.href);
  address.searchParams.delete("view");
  await navigator.clipboard.writeText(address.href);
  menu.open = false;
  say("Copied. Who opens it sees this page as it is now.", "good");
});
