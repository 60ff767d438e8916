// A canvas that fills its container, sharp on every screen, redrawn when its size or the theme changes.
import { context2d } from "../shared/dom.js";

/**
 * @callback Draw
 * @param {CanvasRenderingContext2D} context
 * @param {number} width in CSS pixels
 * @param {number} height in CSS pixels
 * @returns {void}
 */

/**
 * Puts a canvas into a container; the function that it returns asks for a redraw in the next frame.
 * @param {HTMLElement} container
 * @param {Draw} draw
 * @returns {() => void}
 */
export function createCanvas(container, draw) {
  const canvas = document.createElement("canvas");
  container.prepend(canvas);
  const context = context2d(canvas);
  let frame = 0;

  function paint() {
    const { clientWidth: width, clientHeight: height } = container;
    if (!width || !height) return;
    const density = window.devicePixelRatio || 1;
    resize(canvas, Math.round(width * density), Math.round(height * density));
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    draw(context, width, height);
  }

  function redraw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(paint);
  }
  new ResizeObserver(redraw).observe(container);
  document.addEventListener("theme", redraw);
  return redraw;
}

/**
 * Setting the size also clears a canvas, so that it is set only where it differs.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function resize(canvas, width, height) {
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
}

const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
/** @type {Map<string, string>} */
const computedColours = new Map();
document.addEventListener("theme", () => computedColours.clear());

/**
 * A colour as the canvas understands it: a variable of the theme (`--ink`), or any CSS colour.
 * @param {string} colour
 * @returns {string}
 */
export function computedColour(colour) {
  let found = computedColours.get(colour);
  if (found === undefined) {
    probe.style.color = colour.startsWith("--") ? `var(${colour})` : colour;
    found = getComputedStyle(probe).color;
    computedColours.set(colour, found);
  }
  return found;
}

/**
 * A text cut to a width, with an ellipsis where something is missing.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} width
 * @returns {string}
 */
export function truncated(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {number} right
 * @param {number} bottom
 */
export function strokeLine(context, left, top, right, bottom) {
  context.beginPath();
  context.moveTo(left, top);
  context.lineTo(right, bottom);
  context.stroke();
}
