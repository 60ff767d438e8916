// Colours of lines as every canvas and file understands them; they change with the theme.
const known = new Map();
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = canvas.getContext("2d", { willReadFrequently: true });

// A token of css/tokens.css as the theme that is shown has it.
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A CSS colour, variables and all, as #rrggbb of the theme that is shown.
export function resolved(colour) {
  const key = `${document.documentElement.dataset.bsTheme} ${colour}`;
  if (!known.has(key)) known.set(key, hexOf(colour));
  return known.get(key);
}

export const ofSeries = (index) => resolved(`var(--series-${(index % 8) + 1})`);

function hexOf(colour) {
  const probe = document.createElement("i");
  probe.style.color = colour;
  document.body.append(probe);
  context.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  context.fillRect(0, 0, 1, 1);
  return `#${[...context.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
