// What lines are drawn with: a canvas, or the text of an SVG file. Colours are CSS colours without variables.
/** @import { PaintStyle, Renderer, StrokeStyle, TextStyle } from "./types.d.ts" */
import { context2d } from "../shared/dom.js";

const FONT = "Inter, sans-serif";
const TEXT_ANCHORS = { left: "start", right: "end", center: "middle" };

class CanvasPath extends Path2D {
  /** @param {number} x @param {number} y @param {number} radius */
  circle(x, y, radius) {
    this.moveTo(x + radius, y);
    this.arc(x, y, radius, 0, 7); // more than a full turn
  }
}

/** @implements {Renderer} */
export class CanvasRenderer {
  /** @param {CanvasRenderingContext2D} context */
  constructor(context) {
    this.context = context;
  }

  path() {
    return new CanvasPath();
  }

  /** @param {CanvasPath} path @param {StrokeStyle} style */
  stroke(path, { colour, alpha, width, dash = [] }) {
    this.context.globalAlpha = alpha;
    this.context.strokeStyle = colour;
    this.context.lineWidth = width;
    this.context.lineJoin = "bevel";
    this.context.setLineDash(dash);
    this.context.stroke(path);
    this.context.globalAlpha = 1;
  }

  /** @param {CanvasPath} path @param {PaintStyle} style */
  fill(path, { colour, alpha }) {
    this.context.globalAlpha = alpha;
    this.context.fillStyle = colour;
    this.context.fill(path);
    this.context.globalAlpha = 1;
  }

  /** @param {number} left @param {number} top @param {number} width @param {number} height */
  clip(left, top, width, height) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, top, width, height);
    this.context.clip();
  }

  unclip() {
    this.context.restore();
  }

  /** @param {number} right @param {number} down */
  move(right, down) {
    this.context.save();
    this.context.translate(right, down);
  }

  moveBack() {
    this.context.restore();
  }

  /** @param {string} text @param {number} x @param {number} y @param {TextStyle} style */
  text(text, x, y, { colour, size, align = "left", weight = 400, isUpright = false }) {
    this.move(x, y);
    if (isUpright) this.context.rotate(-Math.PI / 2);
    this.context.font = `${weight} ${size}px ${FONT}`;
    this.context.fillStyle = colour;
    this.context.textAlign = align;
    this.context.textBaseline = "alphabetic";
    this.context.fillText(text, 0, 0);
    this.moveBack();
  }

  /** @param {string} text @param {number} size */
  textWidth(text, size) {
    return measureText(this.context, text, size);
  }

  /** @param {number} left @param {number} top @param {number} width @param {number} height @param {string} colour */
  rect(left, top, width, height, colour) {
    this.context.fillStyle = colour;
    this.context.fillRect(left, top, width, height);
  }
}

class SvgPath {
  d = "";

  /** @param {number} x @param {number} y */
  moveTo(x, y) {
    this.d += `M${round(x)} ${round(y)}`;
  }

  /** @param {number} x @param {number} y */
  lineTo(x, y) {
    this.d += `L${round(x)} ${round(y)}`;
  }

  /** @param {number} x @param {number} y @param {number} radius */
  circle(x, y, radius) {
    const [r, d] = [radius, 2 * radius];
    this.d += `M${round(x + r)} ${round(y)}a${r} ${r} 0 1 0 ${-d} 0a${r} ${r} 0 1 0 ${d} 0`;
  }

  closePath() {
    this.d += "Z";
  }
}

/** @implements {Renderer} */
export class SvgRenderer {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    /** @type {string[]} */
    this.parts = [];
    this.numClips = 0;
    this.measuring = context2d(document.createElement("canvas"));
  }

  path() {
    return new SvgPath();
  }

  /** @param {SvgPath} path @param {StrokeStyle} style */
  stroke({ d }, { colour, alpha, width, dash = [] }) {
    if (!d) return;
    this.parts.push(element("path", {
      d, fill: "none", stroke: colour, "stroke-opacity": round(alpha), "stroke-width": width,
      "stroke-dasharray": dash.join(" "), "stroke-linejoin": "bevel",
    }));
  }

  /** @param {SvgPath} path @param {PaintStyle} style */
  fill({ d }, { colour, alpha }) {
    if (d) this.parts.push(element("path", { d, fill: colour, "fill-opacity": round(alpha) }));
  }

  /** @param {number} left @param {number} top @param {number} width @param {number} height */
  clip(left, top, width, height) {
    this.numClips += 1;
    const id = `clip${this.numClips}`;
    const rect = element("rect", { x: left, y: top, width, height });
    this.parts.push(`<clipPath id="${id}">${rect}</clipPath><g clip-path="url(#${id})">`);
  }

  unclip() {
    this.parts.push("</g>");
  }

  /** @param {number} right @param {number} down */
  move(right, down) {
    this.parts.push(`<g transform="translate(${right} ${down})">`);
  }

  moveBack() {
    this.parts.push("</g>");
  }

  /** @param {string} text @param {number} x @param {number} y @param {TextStyle} style */
  text(text, x, y, { colour, size, align = "left", weight, isUpright }) {
    const values = {
      x: round(x), y: round(y), fill: colour, "font-size": size, "font-weight": weight,
      "text-anchor": TEXT_ANCHORS[align],
      transform: isUpright ? `rotate(-90 ${round(x)} ${round(y)})` : undefined,
    };
    this.parts.push(`<text ${attributes(values)}>${escapeText(text)}</text>`);
  }

  /** @param {string} text @param {number} size */
  textWidth(text, size) {
    return measureText(this.measuring, text, size);
  }

  /** @param {number} left @param {number} top @param {number} width @param {number} height @param {string} colour */
  rect(left, top, width, height, colour) {
    const place = { x: round(left), y: round(top), width: round(width), height: round(height) };
    this.parts.push(element("rect", { ...place, fill: colour }));
  }

  /** @returns {string} The whole file. */
  file() {
    const { width, height } = this;
    const root = attributes({
      xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT,
    });
    return `<svg ${root}>${this.parts.join("")}</svg>\n`;
  }
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} size */
function measureText(context, text, size) {
  context.font = `${size}px ${FONT}`;
  return context.measureText(text).width;
}

/** @param {number} value */
const round = (value) => Math.round(value * 100) / 100;

/** @param {string} text */
const escapeText = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** @param {string} name @param {Record<string, string | number | undefined>} values */
const element = (name, values) => `<${name} ${attributes(values)}/>`;

/** @param {Record<string, string | number | undefined>} values */
function attributes(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.map(([name, value]) => `${name}="${value}"`).join(" ");
}
