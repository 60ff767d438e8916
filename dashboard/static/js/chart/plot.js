// One chart: uPlot draws the axes and follows the pointer, paint.js draws the lines.
/** @import { Display, Extent, Frame, Line, Outside, PlotListener, PlotOptions, Renderer, Span } from "./types.d.ts" */
import { cssVariable } from "./colours.js";
import { inlierExtent, pointsOutside, xExtent, yExtent } from "./extents.js";
import { paintAttemptStarts, paintLines, paintNonFinite, paintOutside } from "./paint.js";
import { copyAxes } from "./plot-axes.js";
import { listenToPan, onWheel } from "./plot-navigation.js";
import { logBase, uplotOptions } from "./plot-options.js";
import { CanvasRenderer } from "./renderers.js";
import { logRange } from "./ticks.js";
import { listenToTouch } from "./touch.js";

const MIN_WIDTH = 50;
const Y_PADDING = 0.08; // above and below the lines, in parts of their extent

export class Plot {
  /**
   * @param {PlotOptions} options
   * @param {PlotListener} listener
   */
  constructor(options, listener) {
    this.options = options;
    this.listener = listener;
    /** @type {uPlot | null} Made with the first lines. */
    this.uplot = null;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Display | null} */
    this.shown = null;
    this.builtFor = ""; // what the axes depend on
    /** @type {{ x: Extent, y: Extent }} */
    this.ends = { x: [0, 1], y: [0, 1] };
    /** @type {Outside} */
    this.outside = { above: [], below: [] };
  }

  /** How the lines are shown; only asked for once there are any. */
  get display() {
    if (!this.shown) throw new Error("Nothing has been drawn yet.");
    return this.shown;
  }

  /**
   * @param {Line[]} lines
   * @param {Display} display
   */
  draw(lines, display) {
    this.lines = lines;
    this.shown = display;
    this.ends = this.endsOf(display);
    const { x, y } = this.ends;
    this.outside = display.cut ? pointsOutside(lines, x, y, display.logY) : { above: [], below: [] };
    this.listener.onOutside(this.outside);
    const theme = document.documentElement.dataset.bsTheme;
    const axes = [display.x, display.logX, display.logY, display.unit, theme].join(" ");
    if (this.uplot && axes === this.builtFor) this.uplot.setScale("x", { min: x[0], max: x[1] });
    else this.build();
    this.builtFor = axes;
  }

  /** @param {Display} display @returns {{ x: Extent, y: Extent }} What the axes reach. */
  endsOf(display) {
    const x = this.xEnds(display);
    return { x, y: this.yEnds(x, display) };
  }

  /** @param {Display} display @returns {Extent} */
  xEnds({ span, logX }) {
    if (span) return [logX ? Math.max(span.lo, Number.MIN_VALUE) : span.lo, span.hi];
    return xExtent(this.lines, logX) ?? (logX ? [1, 10] : [0, 1]);
  }

  /** @param {Extent} x @param {Display} display @returns {Extent} */
  yEnds(x, { logY, cut, ceiling }) {
    const { floor } = this.options;
    const whole = yExtent(this.lines, x, logY);
    if (!whole) return logY ? [1, 10] : [floor ?? 0, this.options.ceiling ?? 1];
    const inner = cut ? inlierExtent(this.lines, x, whole, logY) : null;
    const reachesFloor = !logY && floor !== null && whole.lo >= floor; // 0 has no place on a logarithmic axis
    if (inner) return [reachesFloor ? floor : inner.lo, inner.hi];
    if (logY) return logRange(whole.lo, whole.hi, logBase(this.options.unit));
    return this.padded(whole, ceiling ?? this.options.ceiling);
  }

  /** @param {Span} extent @param {number | null} ceiling @returns {Extent} */
  padded({ lo, hi }, ceiling) {
    const { floor } = this.options;
    const padding = (hi - (floor ?? lo) || Math.abs(hi) || 1) * Y_PADDING;
    return [
      floor === null ? lo - padding : Math.min(floor, lo),
      ceiling === null ? hi + padding : Math.max(ceiling, hi),
    ];
  }

  build() {
    const { holder, tooltip } = this.options;
    this.uplot?.destroy();
    const uplot = new uPlot(uplotOptions(this), [this.ends.x, [null, null]], holder);
    this.uplot = uplot;
    uplot.over.append(tooltip);
    listenToTouch(uplot.over, {
      valueAt: (left) => uplot.posToVal(left, "x"),
      moveCursor: (left) => {
        holder.focus({ preventScroll: true });
        uplot.setCursor({ left, top: uplot.over.clientHeight / 3 });
      },
      preview: (lo, hi) => this.preview(lo, hi),
      zoom: (lo, hi) => this.listener.onZoom(lo, hi),
    });
    uplot.over.addEventListener("wheel", onWheel(this, uplot), { passive: false });
  }

  /**
   * Shows what is there of a span, before its finer points come.
   * @param {number} lo
   * @param {number} hi
   */
  preview(lo, hi) {
    this.ends = this.endsOf({ ...this.display, span: { lo, hi } });
    this.uplot?.setScale("x", { min: lo, max: hi });
  }

  /** @param {MouseEvent} event */
  startPan(event) {
    if (this.uplot) listenToPan(this, this.uplot, event);
  }

  /**
   * The ends of the x axis, moved by a share of what is shown.
   * @param {Extent} extent
   * @param {number} share
   * @returns {Extent}
   */
  moved([lo, hi], share) {
    if (!this.display.logX) return [lo + (hi - lo) * share, hi + (hi - lo) * share];
    const factor = (hi / lo) ** share;
    return [lo * factor, hi * factor];
  }

  /** @param {uPlot} uplot Draws the lines onto its canvas. */
  paintOn(uplot) {
    uplot.ctx.save(); // uPlot relies on what it has set
    this.paint(new CanvasRenderer(uplot.ctx), this.frame(devicePixelRatio, uplot.bbox));
    uplot.ctx.restore();
  }

  /** @param {number} ratio @param {uPlot.BBox} box @returns {Frame} */
  frame(ratio, { left, top, width, height }) {
    const { logX, logY } = this.display;
    return { ratio, left, top, width, height, ...this.ends, logX, logY };
  }

  /** @param {Renderer} renderer @param {Frame} frame */
  paint(renderer, frame) {
    const starts = new Map(this.lines.flatMap(({ attemptStarts, attempts }) =>
      attemptStarts.map((x, index) => /** @type {[number, number]} */ ([x, attempts[index]]))));
    paintLines(renderer, this.lines, frame, this.display);
    paintAttemptStarts(renderer, [...starts], frame, {
      colour: cssVariable("--ink-3"), textColour: cssVariable("--ink-2"), name: this.options.attemptName,
    });
    paintNonFinite(renderer, this.lines, frame, cssVariable("--bad"));
    paintOutside(renderer, this.outside, frame);
  }

  /** What the x axis shows; null where nothing is drawn. @returns {Span | null} */
  extent() {
    return this.uplot && this.lines.length ? { lo: this.ends.x[0], hi: this.ends.x[1] } : null;
  }

  /** The position of the cursor. @returns {number | undefined} */
  cursor() {
    const left = this.uplot?.cursor.left ?? -1;
    return this.uplot && left >= 0 ? this.uplot.posToVal(left, "x") : undefined;
  }

  /** @param {number} x */
  setCursor(x) {
    this.uplot?.setCursor({ left: this.uplot.valToPos(x, "x"), top: this.uplot.over.clientHeight / 3 });
  }

  /** Where the cursor is: pixels from the left, the value at its height, and the width of the plot. */
  cursorPlace() {
    if (!this.uplot) return { left: 0, y: 0, width: 0 };
    const { left = 0, top = 0 } = this.uplot.cursor;
    return { left, y: this.uplot.posToVal(top, "y"), width: this.uplot.over.clientWidth };
  }

  /**
   * Lets the lines of one run or group stand out.
   * @param {string | null} owner null: none
   */
  emphasize(owner) {
    if (!this.uplot || !this.shown || this.shown.emphasis === owner) return;
    this.shown = { ...this.shown, emphasis: owner };
    this.uplot.redraw(false);
  }

  /** Fits the chart to the size of its holder. */
  resize() {
    this.uplot?.setSize(this.holderSize());
  }

  holderSize() {
    const { holder } = this.options;
    return { width: Math.max(MIN_WIDTH, holder.clientWidth), height: holder.clientHeight };
  }

  /**
   * Draws axes and lines with another renderer, the upper left corner at (0, 0), in CSS pixels.
   * @param {Renderer} renderer
   */
  copyTo(renderer) {
    if (!this.uplot) return;
    const box = this.box();
    copyAxes(renderer, this.uplot, box);
    this.paint(renderer, this.frame(1, box));
  }

  /** The area that is drawn on, in CSS pixels. @returns {uPlot.BBox} */
  box() {
    const { left = 0, top = 0, width = 0, height = 0 } = this.uplot?.bbox ?? {};
    const [x, y] = [left / devicePixelRatio, top / devicePixelRatio];
    return { left: x, top: y, width: width / devicePixelRatio, height: height / devicePixelRatio };
  }

  size() {
    return { width: this.uplot?.width ?? 0, height: this.uplot?.height ?? 0 };
  }
}
