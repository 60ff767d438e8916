// Runs as points between two goals, with the front: those that no other run beats in both.
import { fitted, makeCanvas } from "../shared/canvas.js";
import { makeScale } from "./scale.js";

const EDGE = { left: 74, right: 16, top: 14, bottom: 40 };
const NEAR_PX = 14;
const RADIUS = 4.5;

// state: {rows, fields, x, y, best: {x, y}, log: {x, y}, kept: Set of ids, stroke(row)}; tell: {hover(row, spot), open(row), brush(box)}
export function makeScatter(place, state, tell) {
  let points = [];
  let front = new Set();
  let scales = null;
  let box = null; // while a rectangle is drawn

  const redraw = makeCanvas(place, (pen, width, height, token) => {
    const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
    scales = { x: scaleOf("x", Math.min(8, inner.width / 50)), y: scaleOf("y", inner.height / 45) };
    points = state.rows.flatMap((row) => {
      const [x, y] = [scales.x.place(row.values[state.x]), scales.y.place(row.values[state.y])];
      return x === null || y === null ? [] : [{ row, left: EDGE.left + x * inner.width, top: EDGE.top + (1 - y) * inner.height }];
    });
    front = frontOf(points.map(({ row }) => row));
    drawAxes(pen, token, width, height, inner);
    drawFront(pen, token);
    for (const isKept of [false, true]) for (const point of points) if (state.kept.has(point.row.id) === isKept) drawPoint(pen, token, point, isKept);
    if (box) {
      pen.fillStyle = token("--accent-soft");
      pen.strokeStyle = token("--accent-text");
      pen.globalAlpha = 0.5;
      pen.fillRect(box.left, box.top, box.width, box.height);
      pen.globalAlpha = 1;
      pen.strokeRect(box.left, box.top, box.width, box.height);
    }
  });

  const scaleOf = (axis, ticks) => makeScale(state.fields[state[axis]], state.rows.map((row) => row.values[state[axis]]), { log: state.log[axis], ticks: Math.max(2, ticks) });

  function drawAxes(pen, token, width, height, inner) {
    pen.strokeStyle = token("--grid");
    pen.fillStyle = token("--ink-3");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of scales.y.ticks) {
      const top = Math.round(EDGE.top + (1 - tick.at) * inner.height) + 0.5;
      line(pen, EDGE.left, top, width - EDGE.right, top);
      pen.fillText(fitted(pen, tick.text, EDGE.left - 12), EDGE.left - 8, top);
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const tick of scales.x.ticks) {
      const left = Math.round(EDGE.left + tick.at * inner.width) + 0.5;
      line(pen, left, EDGE.top, left, height - EDGE.bottom);
      pen.fillText(fitted(pen, tick.text, 86), left, height - EDGE.bottom + 6);
    }
    pen.fillStyle = token("--ink-2");
    pen.textAlign = "left";
    pen.fillText(fitted(pen, `↑ ${state.fields[state.y].label}`, inner.width / 2), EDGE.left + 2, 1);
    pen.textAlign = "right";
    pen.fillText(fitted(pen, `${state.fields[state.x].label} →`, inner.width), width - EDGE.right, height - 16);
  }

  // Steps, not slanted lines: between two runs of the front nothing is known.
  function drawFront(pen, token) {
    const on = points.filter(({ row }) => front.has(row.id)).sort((a, b) => a.left - b.left || a.top - b.top);
    if (on.length < 2) return;
    pen.strokeStyle = token("--accent-text");
    pen.setLineDash([5, 4]);
    pen.lineWidth = 1.25;
    pen.beginPath();
    pen.moveTo(on[0].left, on[0].top);
    for (let index = 1; index < on.length; index += 1) {
      const [before, point] = [on[index - 1], on[index]];
      // The corner lies on the side of what is worse: up to the next run nothing as good is known.
      if (state.best.x === "low") pen.lineTo(point.left, before.top);
      else pen.lineTo(before.left, point.top);
      pen.lineTo(point.left, point.top);
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  function drawPoint(pen, token, { row, left, top }, isKept) {
    const isFront = front.has(row.id);
    pen.globalAlpha = isKept ? (isFront ? 1 : 0.72) : 0.13;
    pen.fillStyle = token(state.stroke(row));
    pen.beginPath();
    pen.arc(left, top, isFront ? RADIUS + 1.5 : RADIUS, 0, 2 * Math.PI);
    pen.fill();
    if (isFront) {
      pen.strokeStyle = token("--ink");
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  // A run is beaten by one that is at least as good in both and better in one.
  function frontOf(rows) {
    const good = (row, axis) => {
      const value = row.values[state[axis]];
      return typeof value === "number" ? (state.best[axis] === "low" ? value : -value) : null;
    };
    const all = rows.filter((row) => state.kept.has(row.id)).map((row) => ({ id: row.id, x: good(row, "x"), y: good(row, "y") })).filter(({ x, y }) => x !== null && y !== null);
    all.sort((a, b) => a.x - b.x || a.y - b.y);
    const found = new Set();
    let best = Infinity;
    let bestX = null;
    for (const { id, x, y } of all) {
      if (y < best || (y === best && x === bestX)) {
        found.add(id);
        [best, bestX] = [y, x];
      }
    }
    return found;
  }

  const nearest = (left, top) => {
    let found = null;
    for (const point of points) {
      const distance = Math.hypot(point.left - left, point.top - top);
      if (distance < (found?.distance ?? NEAR_PX)) found = { ...point, distance };
    }
    return found;
  };
  const spot = (event) => {
    const frame = place.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  let from = null;
  place.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = spot(event);
    place.setPointerCapture(event.pointerId);
  });
  place.addEventListener("pointermove", (event) => {
    const [left, top] = spot(event);
    if (from && Math.hypot(left - from[0], top - from[1]) > 4) {
      box = { left: Math.min(left, from[0]), top: Math.min(top, from[1]), width: Math.abs(left - from[0]), height: Math.abs(top - from[1]) };
      redraw();
    }
    const near = from ? null : nearest(left, top);
    place.style.cursor = near ? "pointer" : "crosshair";
    tell.hover(near?.row ?? null, near);
  });
  place.addEventListener("pointerup", (event) => {
    const near = nearest(...spot(event));
    if (box) tell.brush(points.filter(({ left, top }) => left >= box.left && left <= box.left + box.width && top >= box.top && top <= box.top + box.height).map(({ row }) => row.id));
    else if (near && from) tell.open(near.row);
    [from, box] = [null, null];
    redraw();
  });
  place.addEventListener("pointerleave", () => tell.hover(null));
  return { redraw, front: () => front, frontOf, numPlaced: () => points.length };
}

function line(pen, left, top, right, bottom) {
  pen.beginPath();
  pen.moveTo(left, top);
  pen.lineTo(right, bottom);
  pen.stroke();
}
