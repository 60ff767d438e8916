// Draws lines, bands and marks onto a pen: a canvas for the page, or SVG for a file. Both show the same.
import { rowsWithin } from "./extents.js";

export const DASHES = [[], [7, 4], [2, 3], [10, 4, 2, 4], [4, 2], [1, 2]];
const FEW = 40; // points so few that each is a dot
const MARK = 5;

// frame: {left, top, width, height, ratio (canvas pixels a CSS pixel), x: [lo, hi], y: [lo, hi], logX, logY}
export function paintLines(pen, lines, frame, { range, emphasis }) {
  const at = transform(frame);
  const alpha = 1 / Math.sqrt(Math.max(1, lines.filter((line) => line.low).length / 2));
  const isBack = (line) => emphasis && line.owner !== emphasis;
  const order = emphasis ? [...lines.filter(isBack), ...lines.filter((line) => !isBack(line))] : lines;
  const rows = new Map(order.map((line) => [line, rowsWithin(line, ...frame.x)]));
  const thin = lines.length > 60 ? 1.1 : 1.6;
  const room = 3 * frame.ratio; // for dots at the edge
  pen.clip(frame.left - room, frame.top - room, frame.width + 2 * room, frame.height + 2 * room);
  for (const line of order) {
    const fade = isBack(line) ? 0.2 : 1;
    if (line.isArea) paintArea(pen, line, rows.get(line), at);
    else if (range && line.low) paintBand(pen, line, rows.get(line), at, fade * alpha, frame.ratio);
    if (range && line.edgeLow) paintEdges(pen, line, rows.get(line), at, fade, frame.ratio);
    if (line.faint) pen.stroke(trace(pen, line.x, line.faint, rows.get(line), at), { colour: line.colour, alpha: 0.3 * fade, width: frame.ratio });
  }
  for (const line of order) {
    const style = { colour: line.colour, alpha: isBack(line) ? 0.2 : 1, width: (line.isArea ? 1 : thin) * frame.ratio, dash: DASHES[line.dash % DASHES.length].map((part) => part * frame.ratio) };
    pen.stroke(trace(pen, line.x, line.y, rows.get(line), at), style);
    paintDots(pen, line, rows.get(line), at, style, frame.ratio);
  }
  pen.unclip();
}

function transform({ left, top, width, height, x, y, logX, logY }) {
  const [x0, x1] = logX ? x.map(Math.log10) : x;
  const [y0, y1] = logY ? y.map(Math.log10) : y;
  const [xScale, yScale] = [width / (x1 - x0), height / (y1 - y0)];
  const floor = top + height * 3;
  return {
    x: logX ? (value) => left + (Math.log10(value) - x0) * xScale : (value) => left + (value - x0) * xScale,
    y: logY ? (value) => (value > 0 ? top + height - (Math.log10(value) - y0) * yScale : floor) : (value) => top + height - (value - y0) * yScale,
    isDrawn: logY ? (value) => value > 0 && value < Infinity : Number.isFinite,
    first: logX ? Number.MIN_VALUE : -Infinity,
  };
}

function trace(pen, xs, ys, [first, last], at) {
  const path = pen.path();
  let isOpen = false;
  for (let row = first; row <= last; row += 1) {
    if (!at.isDrawn(ys[row]) || xs[row] < at.first) { isOpen = false; continue; }
    if (isOpen) path.lineTo(at.x(xs[row]), at.y(ys[row]));
    else path.moveTo(at.x(xs[row]), at.y(ys[row]));
    isOpen = true;
  }
  return path;
}

// The edges of a band are drawn too: a single step that stands out fills no area that could be seen.
function paintBand(pen, line, rows, at, alpha, ratio) {
  const path = outline(pen, line, rows, at);
  pen.fill(path, { colour: line.colour, alpha: 0.2 * alpha });
  pen.stroke(path, { colour: line.colour, alpha: 0.45 * alpha, width: ratio });
}

function paintArea(pen, line, rows, at) {
  pen.fill(outline(pen, line, rows, at), { colour: line.colour, alpha: 0.55 });
}

function paintEdges(pen, line, rows, at, fade, ratio) {
  for (const edge of [line.edgeLow, line.edgeHigh]) pen.stroke(trace(pen, line.x, edge, rows, at), { colour: line.colour, alpha: 0.35 * fade, width: ratio });
}

// Along the upper edge and back along the lower one, for each stretch without a gap.
function outline(pen, { x, low, high }, [first, last], at) {
  const path = pen.path();
  for (let row = first; row <= last; row += 1) {
    if (!at.isDrawn(high[row]) || x[row] < at.first) continue;
    const begin = row;
    path.moveTo(at.x(x[row]), at.y(high[row]));
    while (row + 1 <= last && at.isDrawn(high[row + 1])) { row += 1; path.lineTo(at.x(x[row]), at.y(high[row])); }
    for (let back = row; back >= begin; back -= 1) path.lineTo(at.x(x[back]), at.y(low[back]));
    path.closePath();
  }
  return path;
}

// Few points are dots; so is one between two gaps, which no line would show.
function paintDots(pen, { x, y, isRaw }, [first, last], at, style, ratio) {
  const isFew = isRaw && last - first < FEW;
  const path = pen.path();
  let some = false;
  for (let row = first; row <= last; row += 1) {
    const isAlone = !(row > 0 && at.isDrawn(y[row - 1])) && !(row + 1 < y.length && at.isDrawn(y[row + 1]));
    if (!at.isDrawn(y[row]) || x[row] < at.first || !(isFew || isAlone)) continue;
    path.circle(at.x(x[row]), at.y(y[row]), (isAlone ? 2.4 : 2) * ratio);
    some = true;
  }
  if (some) pen.fill(path, style);
}

// Where a later attempt begins: from there on other devices may have worked.
export function paintBorders(pen, places, frame, { colour, ink, name }) {
  const at = transform(frame);
  const seen = places.filter(([place]) => place >= frame.x[0] && place <= frame.x[1]).sort((a, b) => a[0] - b[0]);
  const path = pen.path();
  for (const [place] of seen) {
    path.moveTo(Math.round(at.x(place)), frame.top);
    path.lineTo(Math.round(at.x(place)), frame.top + frame.height);
  }
  if (seen.length) pen.stroke(path, { colour, alpha: 1, width: frame.ratio, dash: [4 * frame.ratio, 4 * frame.ratio] });
  if (name) nameBorders(pen, seen.map(([place, attempt]) => [at.x(place), attempt]), frame, ink, name);
}

// A name on the side where there is more room, or the number of the attempt, or nothing.
function nameBorders(pen, places, { left, top, width, ratio }, ink, name) {
  const gap = 5 * ratio;
  const xs = [left, ...places.map(([x]) => x), left + width];
  places.forEach(([x, attempt], index) => {
    const room = { right: xs[index + 2] - x - 2 * gap, left: x - xs[index] - 2 * gap };
    const isRight = room.right >= room.left;
    const text = [name(attempt), String(attempt)].find((one) => pen.widthOf(one, 10 * ratio) < Math.max(room.left, room.right));
    if (text) pen.text(text, x + (isRight ? gap : -gap), top + 10 * ratio, { colour: ink, size: 10 * ratio, align: isRight ? "left" : "right" });
  });
}

// NaN and infinities cannot be drawn as heights: a cross says NaN, a triangle at the edge an infinity.
export function paintOdd(pen, lines, frame, colour) {
  const at = transform(frame);
  const size = MARK * frame.ratio;
  const bottom = frame.top + frame.height;
  const [solid, crosses] = [pen.path(), pen.path()];
  for (const line of lines) for (const [place, kind] of line.odd) {
    if (place < frame.x[0] || place > frame.x[1]) continue;
    const x = at.x(place);
    if (kind === "NaN") cross(crosses, x, frame.top + 1.2 * size, 0.8 * size);
    else triangle(solid, x, kind === "Infinity" ? frame.top : bottom, kind === "Infinity" ? size : -size);
  }
  pen.fill(solid, { colour, alpha: 1 });
  pen.stroke(crosses, { colour, alpha: 1, width: 1.8 * frame.ratio });
}

// A mark at the edge for points that lie outside, one each few pixels, in the colour of their line.
export function paintOutside(pen, { above, below }, frame) {
  const at = transform(frame);
  for (const [places, edge, size] of [[above, frame.top, -MARK * frame.ratio], [below, frame.top + frame.height, MARK * frame.ratio]]) {
    const taken = new Set();
    for (const [place, line] of places) {
      const x = at.x(place);
      const slot = Math.round(x / (4 * frame.ratio));
      if (taken.has(slot)) continue;
      taken.add(slot);
      const path = pen.path();
      triangle(path, x, edge - 1.2 * size, size * 1.1);
      pen.fill(path, { colour: line.colour, alpha: 1 });
    }
  }
}

// With its base on y and its tip 1.4 sizes below (above for a negative size).
function triangle(path, x, y, size) {
  path.moveTo(x - Math.abs(size), y);
  path.lineTo(x + Math.abs(size), y);
  path.lineTo(x, y + 1.4 * size);
  path.closePath();
}

function cross(path, x, y, size) {
  path.moveTo(x - size, y - size); path.lineTo(x + size, y + size);
  path.moveTo(x + size, y - size); path.lineTo(x - size, y + size);
}
