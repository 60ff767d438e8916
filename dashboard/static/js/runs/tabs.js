// Tabs of the run page are links. This adds their keys, and the name of the run once its head is out of view.
import { findAll, required } from "../shared/dom.js";
import { listenToKeys } from "../shared/keyboard.js";

const strip = required(document, "[data-tabs]");
const links = findAll(strip, ".run-tabs a", HTMLAnchorElement);

/** @param {1 | -1} by */
function openTab(by) {
  const current = links.findIndex((link) => link.hasAttribute("aria-current"));
  links[(current + by + links.length) % links.length].click();
}

listenToKeys({
  "[": () => openTab(-1),
  "]": () => openTab(1),
  ...Object.fromEntries(links.map((link, index) => [String(index + 1), () => link.click()])),
});
strip.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const focused = links.findIndex((link) => link === document.activeElement);
  if (focused < 0) return;
  event.preventDefault();
  links[(focused + (event.key === "ArrowRight" ? 1 : -1) + links.length) % links.length].focus();
});
links.find((link) => link.hasAttribute("aria-current"))?.scrollIntoView({ block: "nearest", inline: "center" });

const heads = new IntersectionObserver((entries) => {
  strip.toggleAttribute("data-doubled", entries[entries.length - 1].isIntersecting);
}, { rootMargin: "-60px 0px 0px 0px" });

// The head is replaced whenever the run changes.
function watchHead() {
  heads.disconnect();
  heads.observe(required(document, "#run-head .run-title"));
}
watchHead();
document.body.addEventListener("htmx:afterSettle", watchHead);
