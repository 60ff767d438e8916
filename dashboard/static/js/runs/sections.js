// Marks in the strip above a narrow run page which section is in view. The links work without this script.
import { findAll, required } from "../shared/dom.js";

const strip = required(document, "[data-sections]");
const links = findAll(strip, '.run-strip-links a[href^="#"]', HTMLAnchorElement);
/** @type {Set<string>} Ids of the sections in view. */
const inView = new Set();

/** @param {HTMLAnchorElement} link */
const sectionOf = (link) => link.hash.slice(1);

const sections = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target.id);
    else inView.delete(target.id);
  }
  const current = links.findLast((link) => inView.has(sectionOf(link)));
  for (const link of links) {
    if (link === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-110px 0px -55% 0px" });

for (const link of links) {
  const section = document.getElementById(sectionOf(link));
  if (section) sections.observe(section);
}

// While the head of the page is in view, the strip does not repeat its name.
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
