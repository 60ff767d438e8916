// Runs as lines over several axes; dragging along an axis keeps the runs within.
import { fitted, makeCanvas } from "../shared/canvas.js";
import { makeScale } from "./scale.js";

const EDGE = { left: 40, right: 40, top: 34, bottom: 16 };
const REACH_PX = 22; // how far from an axis a drag still means it
const NEAR_PX = 7;

// state: {rows, fields, axes, kept: Set of ids, brushes: Map of field's place -> [low, high] between 0 and 1, stroke(row)}
// tell: {hover(row, spot), open(row), brush()}
export function makeParallel(place, state, tell) {
  let lines = [];
  let axes = [];
  let drag = null; // {axis, from}

  const redraw = makeCanvas(place, (pen, width, height, token) => {
    const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
    axes = axesOf(inner);
    lines = state.rows.map((row) => ({ row, spots: axes.map((axis) => spotOf(axis, row, inner)) }));
    for (const isKept of [false, true]) for (const line of lines) if (state.kept.has(line.row.id) === isKept) drawLine(pen, token, line, isKept);
    for (const axis of axes) drawAxis(pen, token, axis, inner, width);
  });

  function axesOf(inner) {
    return state.axes.map((field, index) => ({
      field,
      left: EDGE.left + (state.axes.length === 1 ? inner.width / 2 : inner.width * index / (state.axes.length - 1)),
      scale: makeScale(state.fields[field], state.rows.map((row) => row.values[field]), { log: "auto", ticks: Math.max(2, inner.height / 50) }),
    }));
  }

  function spotOf(axis, row, inner) {
    const at = axis.scale.place(row.values[axis.field]);
    return at === null ? null : { left: axis.left, top: EDGE.top + (1 - at) * inner.height, at };
  }

  // A run without a value on an axis has a gap there, never a line to a made-up place.
  function drawLine(pen, token, { row, spots }, isKept) {
    const isHeld = state.hovered === row.id;
    pen.globalAlpha = isHeld ? 1 : isKept ? Math.max(0.28, Math.min(0.85, 40 / state.rows.length)) : 0.06;
    pen.strokeStyle = token(state.stroke(row));
    pen.lineWidth = isHeld ? 3 : 1.4;
    pen.beginPath();
    spots.forEach((spot, index) => {
      if (!spot) return;
      if (index && spots[index - 1]) pen.lineTo(spot.left, spot.top);
      else {
        pen.moveTo(spot.left - 3, spot.top);
        pen.lineTo(spot.left, spot.top);
      }
      if (!spots[index + 1]) pen.lineTo(spot.left + 3, spot.top);
    });
    pen.stroke();
    pen.globalAlpha = 1;
  }

  function drawAxis(pen, token, axis, inner, width) {
    const [top, bottom] = [EDGE.top, EDGE.top + inner.height];
    const isLast = axis === axes.at(-1) && axes.length > 1;
    pen.strokeStyle = token("--line-strong");
    pen.lineWidth = 1;
    stroke(pen, axis.left, top, axis.left, bottom);
    pen.fillStyle = token("--ink-2");
    pen.textAlign = axis === axes[0] ? "left" : isLast ? "right" : "center";
    pen.textBaseline = "top";
    const room = Math.max(48, width / Math.max(1, axes.length) - 10);
    pen.fillText(fitted(pen, state.fields[axis.field].label, room), axis.left + (axis === axes[0] ? -EDGE.left + 6 : isLast ? EDGE.right - 6 : 0), 8);
    pen.textAlign = isLast ? "right" : "left";
    pen.textBaseline = "middle";
    for (const tick of axis.scale.ticks) {
      const y = EDGE.top + (1 - tick.at) * inner.height;
      const text = fitted(pen, tick.text, Math.max(34, room / 2));
      const left = axis.left + (isLast ? -7 : 7);
      pen.lineWidth = 3;
      pen.strokeStyle = token("--surface");
      pen.strokeText(text, left, y);
      pen.fillStyle = token("--ink-2");
      pen.fillText(text, left, y);
      pen.lineWidth = 1;
      pen.strokeStyle = token("--line-strong");
      stroke(pen, axis.left - 3, y, axis.left + 3, y);
    }
    const brush = state.brushes.get(axis.field);
    if (!brush) return;
    pen.fillStyle = token("--accent-text");
    pen.globalAlpha = 0.28;
    pen.fillRect(axis.left - 7, EDGE.top + (1 - brush[1]) * inner.height, 14, (brush[1] - brush[0]) * inner.height);
    pen.globalAlpha = 1;
  }

  const height = () => place.clientHeight - EDGE.top - EDGE.bottom;
  const share = (top) => Math.min(1, Math.max(0, 1 - (top - EDGE.top) / height()));
  const axisAt = (left) => axes.find((axis) => Math.abs(axis.left - left) <= REACH_PX);
  const spot = (event) => {
    const frame = place.getBoundingClientRect();
    return { left: event.clientX - frame.left, top: event.clientY - frame.top };
  };

  place.addEventListener("pointerdown", (event) => {
    const at = spot(event);
    const axis = axisAt(at.left);
    if (event.button || !axis) return;
    drag = { axis, from: share(at.top) };
    place.setPointerCapture(event.pointerId);
  });
  place.addEventListener("pointermove", (event) => {
    const at = spot(event);
    if (drag) {
      const to = share(at.top);
      if (Math.abs(to - drag.from) > 0.01) state.brushes.set(drag.axis.field, [Math.min(to, drag.from), Math.max(to, drag.from)]);
      tell.brush();
      return;
    }
    const near = nearest(at);
    place.style.cursor = axisAt(at.left) ? "ns-resize" : near ? "pointer" : "default";
    tell.hover(near, at);
  });
  place.addEventListener("pointerup", (event) => {
    if (drag && Math.abs(share(spot(event).top) - drag.from) <= 0.01) state.brushes.delete(drag.axis.field);
    else if (!drag) {
      const near = nearest(spot(event));
      if (near) tell.open(near);
    }
    if (drag) tell.brush();
    drag = null;
  });
  place.addEventListener("pointerleave", () => tell.hover(null));

  function nearest({ left, top }) {
    let [found, least] = [null, NEAR_PX];
    for (const { row, spots } of lines) {
      if (!state.kept.has(row.id)) continue;
      for (let index = 1; index < spots.length; index += 1) {
        const [a, b] = [spots[index - 1], spots[index]];
        if (!a || !b || left < a.left || left > b.left) continue;
        const distance = Math.abs(a.top + (b.top - a.top) * (left - a.left) / (b.left - a.left) - top);
        if (distance < least) [found, least] = [row, distance];
      }
    }
    return found;
  }

  // Whether a row lies within every brush; one without a value on a brushed axis does not.
  const isWithin = (row) => [...state.brushes].every(([field, [low, high]]) => {
    const axis = axes.find((one) => one.field === field);
    const at = axis?.scale.place(row.values[field]) ?? null;
    return at !== null && at >= low && at <= high;
  });
  return { redraw, isWithin, axes: () => axes };
}

function stroke(pen, left, top, right, bottom) {
  pen.beginPath();
  pen.moveTo(left, top);
  pen.lineTo(right, bottom);
  pen.stroke();
}
