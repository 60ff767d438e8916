// The keys of a chart that has the focus: cursor, zoom, and the whole window.
/** @import { Panel } from "./panel.js" */
/** @import { View } from "./view.js" */

/** @type {Record<string, number>} Points that the cursor moves. */
const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
/** @type {Record<string, number>} How much more is shown. */
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };
const PAN_SHARE = 0.25;

/**
 * @param {KeyboardEvent} event
 * @param {Panel} panel
 * @param {View} view
 */
export function onPanelKey(event, panel, view) {
  const { key, shiftKey } = event;
  if (shiftKey && key in MOVES) view.panBy(panel.axis(), Math.sign(MOVES[key]) * PAN_SHARE);
  else if (key in MOVES) panel.readout.moveCursor(MOVES[key]);
  else if (key in ZOOMS) view.zoomBy(panel.axis(), ZOOMS[key], panel.plot.cursor());
  else if (key === "f") panel.toggleOpen();
  else if (key !== "Escape") return;
  else if (view.state.open) view.set({ open: "" });
  else view.reset();
  event.preventDefault();
  event.stopPropagation();
}
