// A canvas that fills its place, sharp on every screen, redrawn when its size or the theme changes.
export function makeCanvas(place, draw) {
  const canvas = document.createElement("canvas");
  place.prepend(canvas);
  const pen = canvas.getContext("2d");
  let wanted = 0;

  function redraw() {
    cancelAnimationFrame(wanted);
    wanted = requestAnimationFrame(() => {
      const { clientWidth: width, clientHeight: height } = place;
      if (!width || !height) return;
      const density = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
        canvas.width = Math.round(width * density);
        canvas.height = Math.round(height * density);
      }
      pen.setTransform(density, 0, 0, density, 0, 0);
      pen.clearRect(0, 0, width, height);
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      draw(pen, width, height, token);
    });
  }
  new ResizeObserver(redraw).observe(place);
  document.addEventListener("theme", redraw);
  return redraw;
}

// A colour of the theme, or one of a run, which may name the theme's numbers.
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
const seen = new Map();
document.addEventListener("theme", () => seen.clear());
export function token(colour) {
  if (!seen.has(colour)) {
    probe.style.color = colour.startsWith("--") ? `var(${colour})` : colour;
    seen.set(colour, getComputedStyle(probe).color);
  }
  return seen.get(colour);
}

// Cuts a text to a width, with a sign that there is more.
export function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && pen.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}
