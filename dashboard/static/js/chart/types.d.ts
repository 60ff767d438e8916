// Shapes of the data that the chart library passes around.

export type XAxis = "step" | "relative" | "time" | "tokens" | "energy";
export type Extent = [low: number, high: number];
export type Span = { lo: number; hi: number };
export type Column = Float64Array | Float32Array;
/** First and last row, both inclusive. */
export type Rows = [first: number, last: number];
/** Of a group: from the least to the greatest member, its standard deviation, or its standard error. */
export type Spread = "range" | "sd" | "se";
export type NonFinite = [x: number, kind: string];

/** One series as the server sends it (dashboard/api/packed.py). NaN stands where a bucket holds no finite value. */
export interface Series {
  run: string;
  metric: string;
  source: string; // "run", "rank0", "device:<id>"
  unit: string;
  label: string;
  is_raw: boolean; // every point, not buckets
  count: number; // of points, also where these are buckets
  non_finite: NonFinite[];
  borders: number[]; // positions at which an attempt begins
  border_attempts: number[]; // their attempts
  superseded: number; // points that a later attempt has replaced
  x: Float64Array;
  mean: Column;
  min: Column;
  max: Column;
}

/** Run -> metric -> source -> status and reason of what was not measured. */
export type Missing = Record<string, Record<string, Record<string, [status: string, reason: string]>>>;

export interface SeriesAnswer {
  series: Series[];
  missing: Missing;
}

export interface SeriesRequest {
  runs: string[];
  metrics: string[];
  source: string; // "": all sources
  x: XAxis;
  points: number;
  lo?: number;
  hi?: number;
  signal: AbortSignal;
}

/** How charts name and colour what they draw, as the template writes it (dashboard's run labels). */
export interface ChartNames {
  runs: Record<string, RunName>;
  devices: Record<string, string>;
  attempts?: Record<string, string>;
  facets?: Record<string, Record<string, string>>; // parameter or tag -> run -> value
}

export interface RunName {
  name: string;
  short: string; // what tells it from the other runs of the page
  colour: string;
  dash: number; // tells runs of one colour apart
}

export interface LineStyle {
  colour: string;
  dash: number; // index into DASHES, modulo its length
}

/** What makes a group of runs: the name of the group and its look. */
export interface Group extends LineStyle {
  key: string;
  label: string;
}

/** One line as it is drawn. */
export interface Line extends LineStyle {
  key: string;
  owner: string; // run or group
  label: string;
  short: string; // the label with short names of runs
  x: Column;
  y: Column; // what is drawn
  unsmoothed: Column | null; // drawn faintly behind it
  low: Column | null; // edges of its band
  high: Column | null;
  extremeLow?: Column; // of a group: the least and greatest value of any member
  extremeHigh?: Column;
  nonFinite: NonFinite[];
  attemptStarts: number[];
  attempts: number[];
  isRaw: boolean;
  count: number;
  series: Series;
  ownValues?: Column; // of a stacked area: its value without what lies below it
  isArea?: boolean;
}

/** How series become lines. */
export interface LineOptions {
  style(series: Series, index: number): LineStyle;
  label(series: Series): string;
  short(series: Series): string;
  smoothing: number;
  group: ((series: Series) => Group) | null;
  spread: Spread;
}

/** How the lines of a panel are shown at one moment. */
export interface Display {
  x: XAxis;
  span: Span | undefined;
  logX: boolean;
  logY: boolean;
  range: boolean; // bands of least and greatest
  cut: boolean; // outliers may lie outside of the y axis
  smoothing: number;
  emphasis: string | null; // the owner that stands out
  hidden: string[];
  unit?: string; // where it is not the panel's
  ceiling?: number;
}

/** Points that lie outside of what is shown. */
export interface Outside {
  above: [x: number, line: Line][];
  below: [x: number, line: Line][];
}

/** The area that is drawn on, in pixels of the renderer, and the values at its edges. */
export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
  ratio: number; // pixels of the renderer in a CSS pixel
  x: Extent;
  y: Extent;
  logX: boolean;
  logY: boolean;
}

export interface Path {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  circle(x: number, y: number, radius: number): void;
  closePath(): void;
}

export interface PaintStyle {
  colour: string;
  alpha: number;
}

export interface StrokeStyle extends PaintStyle {
  width: number;
  dash?: number[];
}

export interface TextStyle {
  colour: string;
  size: number;
  align?: "left" | "right" | "center";
  weight?: number;
  isUpright?: boolean; // reads upwards
}

/** What lines are drawn with: a canvas of the page, or the text of an SVG file. */
export interface Renderer {
  path(): Path;
  stroke(path: Path, style: StrokeStyle): void;
  fill(path: Path, style: PaintStyle): void;
  clip(left: number, top: number, width: number, height: number): void;
  unclip(): void;
  move(right: number, down: number): void;
  moveBack(): void;
  text(text: string, x: number, y: number, style: TextStyle): void;
  textWidth(text: string, size: number): number;
  rect(left: number, top: number, width: number, height: number, colour: string): void;
}

/** A line's value under the cursor. */
export interface CursorEntry {
  line: Line;
  row: number;
  value: number;
  nonFinite: string | undefined; // the word for a value that is not finite
  low: number | undefined;
  high: number | undefined;
}

export interface LegendItem extends LineStyle {
  key: string;
  label: string;
  title?: string; // the whole name
  isShown: boolean;
  value?: string;
}

/** What the charts of a page show, under the names that the address uses. */
export interface ViewState {
  x: XAxis;
  smooth: number; // weight of the exponential mean
  logx: boolean;
  logy: boolean;
  flip: string[]; // panels whose y axis is of the other kind
  range: boolean; // bands of least and greatest
  cut: boolean; // the y axis leaves out a few outliers
  all: string[]; // panels that show their outliers too
  colour: string; // a parameter or tag whose values give the runs their colours
  group: string; // a parameter or tag whose values make groups
  spread: Spread;
  hide: string[]; // runs or groups that are not drawn
  only: string[]; // or the only ones that are
  find: string; // panels by name
  closed: string[]; // sections
  open: string; // the panel that fills the window
}

export interface ViewListener {
  onFields(names: (keyof ViewState)[]): void;
  /** Null: the spans of all axes. */
  onSpan(axis: XAxis | null): void;
  /** What is shown of an axis at this moment. */
  extentOf(axis: XAxis): Span | null | undefined;
}

export interface PlotOptions {
  holder: HTMLElement;
  tooltip: HTMLElement;
  unit: string;
  floor: number | null;
  ceiling: number | null;
  attemptName: ((attempt: number) => string) | null; // null: attempts are not named
}

export interface PlotListener {
  onZoom(lo: number, hi: number): void;
  onReset(): void;
  onCursor(x: number | null, isHere: boolean): void;
  onOutside(outside: Outside): void;
}
