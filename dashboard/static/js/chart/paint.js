// Draws lines, bands and marks with a renderer: a canvas of the page, or an SVG file. Both show the same.
/** @import { Frame, Line, Outside, Path, Renderer, Rows, StrokeStyle } from "./types.d.ts" */
import { visibleRows } from "./extents.js";

/** Dash patterns in CSS pixels; css/charts.css has the same for the swatches of a legend. */
export const DASHES = [[], [7, 4], [2, 3], [10, 4, 2, 4], [4, 2], [1, 2]];
const MAX_DOTS = 40; // points so few that each is a dot
const MANY_LINES = 60; // from so many lines on, each is thinner
const FADED = 0.2; // alpha of lines that do not stand out
const MARK_SIZE = 5;

/**
 * From values to pixels of the renderer.
 * @typedef {object} Projection
 * @property {(value: number) => number} x
 * @property {(value: number) => number} y
 * @property {(value: number) => boolean} isDrawable whether a y value has a place
 * @property {number} firstX the least x value that has a place
 */

/** @typedef {{ renderer: Renderer, at: Projection, ratio: number }} Canvas */

/**
 * @param {Renderer} renderer
 * @param {Line[]} lines
 * @param {Frame} frame
 * @param {{ range: boolean, emphasis: string | null }} display
 */
export function paintLines(renderer, lines, frame, { range, emphasis }) {
  const canvas = { renderer, at: projectionOf(frame), ratio: frame.ratio };
  const bandAlpha = 1 / Math.sqrt(Math.max(1, lines.filter((line) => line.low).length / 2));
  const isBehind = (/** @type {Line} */ line) => Boolean(emphasis) && line.owner !== emphasis;
  const ordered = [...lines.filter(isBehind), ...lines.filter((line) => !isBehind(line))];
  const rows = new Map(ordered.map((line) => [line, visibleRows(line, ...frame.x)]));
  const width = lines.length > MANY_LINES ? 1.1 : 1.6;
  const margin = 3 * frame.ratio; // for dots at the edge
  renderer.clip(frame.left - margin, frame.top - margin, frame.width + 2 * margin, frame.height + 2 * margin);
  for (const [line, some] of rows) {
    paintBehind(canvas, line, some, { range, bandAlpha, fade: isBehind(line) ? FADED : 1 });
  }
  for (const [line, some] of rows) {
    const style = {
      colour: line.colour,
      alpha: isBehind(line) ? FADED : 1,
      width: (line.isArea ? 1 : width) * frame.ratio,
      dash: DASHES[line.dash % DASHES.length].map((part) => part * frame.ratio),
    };
    renderer.stroke(trace(canvas, line.x, line.y, some), style);
    paintDots(canvas, line, some, style);
  }
  renderer.unclip();
}

/**
 * What lies behind a line: its area or band, the extremes of its group, and the line before smoothing.
 * @param {Canvas} canvas
 * @param {Line} line
 * @param {Rows} rows
 * @param {{ range: boolean, bandAlpha: number, fade: number }} display
 */
function paintBehind(canvas, line, rows, { range, bandAlpha, fade }) {
  const { renderer, ratio } = canvas;
  if (line.isArea) renderer.fill(outline(canvas, line, rows), { colour: line.colour, alpha: 0.55 });
  else if (range && line.low) paintBand(canvas, line, rows, fade * bandAlpha);
  for (const extreme of range ? [line.extremeLow, line.extremeHigh] : []) {
    if (!extreme) continue;
    renderer.stroke(trace(canvas, line.x, extreme, rows), { colour: line.colour, alpha: 0.35 * fade, width: ratio });
  }
  if (!line.unsmoothed) return;
  const path = trace(canvas, line.x, line.unsmoothed, rows);
  renderer.stroke(path, { colour: line.colour, alpha: 0.3 * fade, width: ratio });
}

/** @param {Frame} frame @returns {Projection} */
function projectionOf({ left, top, width, height, x, y, logX, logY }) {
  const [x0, x1] = logX ? x.map(Math.log10) : x;
  const [y0, y1] = logY ? y.map(Math.log10) : y;
  const [xScale, yScale] = [width / (x1 - x0), height / (y1 - y0)];
  const bottom = top + height;
  const farBelow = top + height * 3; // where a logarithmic axis puts what is not positive
  return {
    x: logX ? (value) => left + (Math.log10(value) - x0) * xScale : (value) => left + (value - x0) * xScale,
    y: logY
      ? (value) => (value > 0 ? bottom - (Math.log10(value) - y0) * yScale : farBelow)
      : (value) => bottom - (value - y0) * yScale,
    isDrawable: logY ? (value) => value > 0 && value < Infinity : Number.isFinite,
    firstX: logX ? Number.MIN_VALUE : -Infinity,
  };
}

/** @param {Canvas} canvas @param {Line["x"]} xs @param {Line["y"]} ys @param {Rows} rows */
function trace({ renderer, at }, xs, ys, [first, last]) {
  const path = renderer.path();
  let isOpen = false;
  for (let row = first; row <= last; row += 1) {
    if (!at.isDrawable(ys[row]) || xs[row] < at.firstX) {
      isOpen = false;
      continue;
    }
    if (isOpen) path.lineTo(at.x(xs[row]), at.y(ys[row]));
    else path.moveTo(at.x(xs[row]), at.y(ys[row]));
    isOpen = true;
  }
  return path;
}

/**
 * The edges of a band are drawn too: a single step that stands out fills no visible area.
 * @param {Canvas} canvas
 * @param {Line} line
 * @param {Rows} rows
 * @param {number} alpha
 */
function paintBand(canvas, line, rows, alpha) {
  const path = outline(canvas, line, rows);
  canvas.renderer.fill(path, { colour: line.colour, alpha: 0.2 * alpha });
  canvas.renderer.stroke(path, { colour: line.colour, alpha: 0.45 * alpha, width: canvas.ratio });
}

/**
 * Along the upper edge and back along the lower one, for each stretch without a gap.
 * @param {Canvas} canvas
 * @param {Line} line
 * @param {Rows} rows
 */
function outline({ renderer, at }, { x, low, high }, [first, last]) {
  const path = renderer.path();
  if (!low || !high) return path;
  for (let row = first; row <= last; row += 1) {
    if (!at.isDrawable(high[row]) || x[row] < at.firstX) continue;
    const begin = row;
    path.moveTo(at.x(x[row]), at.y(high[row]));
    while (row + 1 <= last && at.isDrawable(high[row + 1])) {
      row += 1;
      path.lineTo(at.x(x[row]), at.y(high[row]));
    }
    for (let back = row; back >= begin; back -= 1) path.lineTo(at.x(x[back]), at.y(low[back]));
    path.closePath();
  }
  return path;
}

/**
 * Few points are dots; so is one between two gaps, which no line would show.
 * @param {Canvas} canvas
 * @param {Line} line
 * @param {Rows} rows
 * @param {StrokeStyle} style
 */
function paintDots({ renderer, at, ratio }, { x, y, isRaw }, [first, last], style) {
  const areFew = isRaw && last - first < MAX_DOTS;
  const path = renderer.path();
  let hasDot = false;
  for (let row = first; row <= last; row += 1) {
    const followsGap = row === 0 || !at.isDrawable(y[row - 1]);
    const isAlone = followsGap && (row + 1 === y.length || !at.isDrawable(y[row + 1]));
    if (!at.isDrawable(y[row]) || x[row] < at.firstX || !(areFew || isAlone)) continue;
    path.circle(at.x(x[row]), at.y(y[row]), (isAlone ? 2.4 : 2) * ratio);
    hasDot = true;
  }
  if (hasDot) renderer.fill(path, style);
}

/**
 * Where a later attempt begins: from there on other devices may have done the work.
 * @param {Renderer} renderer
 * @param {[x: number, attempt: number][]} starts
 * @param {Frame} frame
 * @param {{ colour: string, textColour: string, name: ((attempt: number) => string) | null }} style
 */
export function paintAttemptStarts(renderer, starts, frame, { colour, textColour, name }) {
  const at = projectionOf(frame);
  const seen = starts.filter(([x]) => x >= frame.x[0] && x <= frame.x[1]).sort((a, b) => a[0] - b[0]);
  const path = renderer.path();
  for (const [x] of seen) {
    path.moveTo(Math.round(at.x(x)), frame.top);
    path.lineTo(Math.round(at.x(x)), frame.top + frame.height);
  }
  const dash = [4 * frame.ratio, 4 * frame.ratio];
  if (seen.length) renderer.stroke(path, { colour, alpha: 1, width: frame.ratio, dash });
  if (name) nameAttempts(renderer, seen.map(([x, attempt]) => [at.x(x), attempt]), frame, textColour, name);
}

/**
 * A name on the side with more room, or the number of the attempt where the name is too long, or nothing.
 * @param {Renderer} renderer
 * @param {[x: number, attempt: number][]} starts
 * @param {Frame} frame
 * @param {string} colour
 * @param {(attempt: number) => string} name
 */
function nameAttempts(renderer, starts, { left, top, width, ratio }, colour, name) {
  const gap = 5 * ratio;
  const size = 10 * ratio;
  const xs = [left, ...starts.map(([x]) => x), left + width];
  starts.forEach(([x, attempt], index) => {
    const room = { right: xs[index + 2] - x - 2 * gap, left: x - xs[index] - 2 * gap };
    const isRight = room.right >= room.left;
    const fits = (/** @type {string} */ one) => renderer.textWidth(one, size) < Math.max(room.left, room.right);
    const text = [name(attempt), String(attempt)].find(fits);
    if (!text) return;
    renderer.text(text, x + (isRight ? gap : -gap), top + size, { colour, size, align: isRight ? "left" : "right" });
  });
}

/**
 * Marks for values without a height: a cross is NaN, a triangle at the edge an infinity.
 * @param {Renderer} renderer
 * @param {Line[]} lines
 * @param {Frame} frame
 * @param {string} colour
 */
export function paintNonFinite(renderer, lines, frame, colour) {
  const at = projectionOf(frame);
  const size = MARK_SIZE * frame.ratio;
  const bottom = frame.top + frame.height;
  const [triangles, crosses] = [renderer.path(), renderer.path()];
  for (const [place, kind] of lines.flatMap((line) => line.nonFinite)) {
    if (place < frame.x[0] || place > frame.x[1]) continue;
    const x = at.x(place);
    if (kind === "NaN") addCross(crosses, x, frame.top + 1.2 * size, 0.8 * size);
    else if (kind === "Infinity") addTriangle(triangles, x, frame.top, size);
    else addTriangle(triangles, x, bottom, -size);
  }
  renderer.fill(triangles, { colour, alpha: 1 });
  renderer.stroke(crosses, { colour, alpha: 1, width: 1.8 * frame.ratio });
}

/**
 * A mark at the edge for points that lie outside, one each few pixels, in the colour of their line.
 * @param {Renderer} renderer
 * @param {Outside} outside
 * @param {Frame} frame
 */
export function paintOutside(renderer, { above, below }, frame) {
  const size = MARK_SIZE * frame.ratio;
  paintEdge(renderer, above, frame, frame.top, -size);
  paintEdge(renderer, below, frame, frame.top + frame.height, size);
}

/**
 * @param {Renderer} renderer
 * @param {Outside["above"]} points
 * @param {Frame} frame
 * @param {number} edge
 * @param {number} size
 */
function paintEdge(renderer, points, frame, edge, size) {
  const at = projectionOf(frame);
  const taken = new Set();
  for (const [place, line] of points) {
    const x = at.x(place);
    const slot = Math.round(x / (4 * frame.ratio));
    if (taken.has(slot)) continue;
    taken.add(slot);
    const path = renderer.path();
    addTriangle(path, x, edge - 1.2 * size, size * 1.1);
    renderer.fill(path, { colour: line.colour, alpha: 1 });
  }
}

/**
 * A triangle with its base on y and its tip 1.4 sizes below (above for a negative size).
 * @param {Path} path
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
function addTriangle(path, x, y, size) {
  path.moveTo(x - Math.abs(size), y);
  path.lineTo(x + Math.abs(size), y);
  path.lineTo(x, y + 1.4 * size);
  path.closePath();
}

/** @param {Path} path @param {number} x @param {number} y @param {number} size */
function addCross(path, x, y, size) {
  path.moveTo(x - size, y - size);
  path.lineTo(x + size, y + size);
  path.moveTo(x + size, y - size);
  path.lineTo(x - size, y + size);
}
