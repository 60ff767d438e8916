// Marks in the strip above a narrow run page which part of the page is being read. The links work without it.
const strip = document.querySelector("[data-sections]");
const links = [...strip.querySelectorAll('.run-strip-links a[href^="#"]')];
const seen = new Set();

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
  const here = links.findLast((link) => seen.has(link.hash.slice(1)));
  for (const link of links) link === here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}, { rootMargin: "-110px 0px -55% 0px" });

for (const link of links) sight.observe(document.getElementById(link.hash.slice(1)));

// While the head itself is in sight, its name need not stand twice. The head is drawn anew whenever the run changes.
const heads = new IntersectionObserver((entries) => strip.toggleAttribute("data-doubled", entries.at(-1).isIntersecting), { rootMargin: "-60px 0px 0px 0px" });

function watchHead() {
  heads.disconnect();
  heads.observe(document.querySelector("#run-head .run-title"));
}
watchHead();
document.body.addEventListener("htmx:afterSettle", watchHead);
