// Long names cut in the middle: their ends tell them apart.
import { create } from "./dom.js";

const TAIL = 12; // characters that stay at the end
const LONG = 24;

/**
 * A name as an element that cuts it in the middle where there is too little room (.cut of css/app.css).
 * @param {string} name
 * @param {string} [className]
 */
export function cutName(name, className = "") {
  const at = name.length > LONG ? name.length - TAIL : name.length;
  const parts = [name.slice(0, at), name.slice(at)].filter(Boolean);
  return create("span", { className: `cut ${className}`.trim() }, ...parts.map((textContent) =>
    create("span", { textContent })));
}

/**
 * The longest form of a name that fits, cut in the middle.
 * @param {string} name
 * @param {(text: string) => boolean} fits
 * @returns {string}
 */
export function cutMiddle(name, fits) {
  if (fits(name)) return name;
  let kept = name.length - 1;
  const cut = () => `${name.slice(0, Math.ceil(kept / 2))}…${name.slice(name.length - Math.floor(kept / 2))}`;
  while (kept > 4 && !fits(cut())) kept -= 1;
  return cut();
}
