// What lines are drawn with: a canvas, or the text of an SVG file. Colours are CSS colours that need no variables.
export function canvasPen(context) {
  return {
    path: () => Object.assign(new Path2D(), { circle(x, y, r) { this.moveTo(x + r, y); this.arc(x, y, r, 0, 7); } }),
    stroke(path, { colour, alpha, width, dash = [] }) {
      context.globalAlpha = alpha;
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.lineJoin = "bevel";
      context.setLineDash(dash);
      context.stroke(path);
      context.globalAlpha = 1;
    },
    fill(path, { colour, alpha }) {
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      context.fill(path);
      context.globalAlpha = 1;
    },
    clip(left, top, width, height) {
      context.save();
      context.beginPath();
      context.rect(left, top, width, height);
      context.clip();
    },
    unclip: () => context.restore(),
    shift(down) {
      context.save();
      context.translate(0, down);
    },
    unshift: () => context.restore(),
    text(text, x, y, { colour, size, align = "left", weight = 400 }) {
      context.font = `${weight} ${size}px "Inter", sans-serif`;
      context.fillStyle = colour;
      context.textAlign = align;
      context.textBaseline = "alphabetic";
      context.fillText(text, x, y);
    },
    widthOf(text, size) {
      context.font = `${size}px "Inter", sans-serif`;
      return context.measureText(text).width;
    },
    rect(left, top, width, height, colour) {
      context.fillStyle = colour;
      context.fillRect(left, top, width, height);
    },
  };
}

const round = (value) => Math.round(value * 100) / 100;
const ANCHORS = { left: "start", right: "end", center: "middle" };
const plain = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const measuring = document.createElement("canvas").getContext("2d");

export function svgPen(width, height) {
  const parts = [];
  const attributes = (values) => Object.entries(values).filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `${name}="${value}"`).join(" ");
  let clips = 0;
  const pen = {
    path: () => ({
      d: "",
      moveTo(x, y) { this.d += `M${round(x)} ${round(y)}`; },
      lineTo(x, y) { this.d += `L${round(x)} ${round(y)}`; },
      circle(x, y, r) { this.d += `M${round(x + r)} ${round(y)}a${r} ${r} 0 1 0 ${-2 * r} 0a${r} ${r} 0 1 0 ${2 * r} 0`; },
      closePath() { this.d += "Z"; },
    }),
    stroke({ d }, { colour, alpha, width: line, dash = [] }) {
      if (d) parts.push(`<path ${attributes({ d, fill: "none", stroke: colour, "stroke-opacity": round(alpha), "stroke-width": line, "stroke-dasharray": dash.join(" "), "stroke-linejoin": "bevel" })}/>`);
    },
    fill({ d }, { colour, alpha }) {
      if (d) parts.push(`<path ${attributes({ d, fill: colour, "fill-opacity": round(alpha) })}/>`);
    },
    clip(left, top, wide, high) {
      clips += 1;
      parts.push(`<clipPath id="clip${clips}"><rect ${attributes({ x: left, y: top, width: wide, height: high })}/></clipPath><g clip-path="url(#clip${clips})">`);
    },
    unclip: () => parts.push("</g>"),
    shift: (down) => parts.push(`<g transform="translate(0 ${down})">`),
    unshift: () => parts.push("</g>"),
    text(text, x, y, { colour, size, align = "left", weight }) {
      parts.push(`<text ${attributes({ x: round(x), y: round(y), fill: colour, "font-size": size, "font-weight": weight, "text-anchor": ANCHORS[align] })}>${plain(text)}</text>`);
    },
    widthOf(text, size) {
      measuring.font = `${size}px "Inter", sans-serif`;
      return measuring.measureText(text).width;
    },
    rect: (left, top, wide, high, colour) => parts.push(`<rect ${attributes({ x: round(left), y: round(top), width: round(wide), height: round(high), fill: colour })}/>`),
    file: () => `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, sans-serif">${parts.join("")}</svg>\n`,
  };
  return pen;
}
