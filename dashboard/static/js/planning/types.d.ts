// Shapes of the trade-offs page: what the template writes (dashboard's tradeoffs), and what is chosen on the page.

export type Goal = "low" | "high";
export type Axis = "x" | "y";
export type Extent = [low: number, high: number];
/** null: the run has none; a number that is not finite is its word. */
export type Value = number | string | null;

export interface Field {
  text: string; // its name in the address
  label: string;
  unit: string;
  best: Goal;
}

export interface RunRow {
  id: string;
  name: string;
  url: string;
  stroke: string; // its colour, or the name of a CSS variable
  values: Value[]; // one a field
}

export interface TradeoffData {
  fields: Field[];
  rows: RunRow[];
  axes: number[]; // indices of the fields of the parallel axes
  x: number | null;
  y: number | null;
  colour: number | null;
}

/** What both pictures and the table show. */
export interface TradeoffState {
  fields: Field[];
  rows: RunRow[];
  axes: number[];
  x: number;
  y: number;
  kept: Set<string>; // ids of the runs that are kept
  brushes: Map<number, Extent>; // field -> kept range, between 0 and 1
  boxed: Set<string> | null; // ids within the rectangle; null: all
  hovered: string | null;
  best: Record<Axis, Goal>;
  log: Record<Axis, boolean>;
  stroke(row: RunRow): string;
}

export interface Point {
  left: number;
  top: number;
}

export interface PictureListener {
  onHover(row: RunRow | null, at: Point | null): void;
  onOpen(row: RunRow): void;
}

export interface Tick {
  at: number; // between 0 and 1
  text: string;
}

/** Places values of a field between 0 and 1. */
export interface Scale {
  place(value: Value): number | null; // null: it has no place
  ticks: Tick[];
  format(value: Value): string;
  formatExact(value: Value): string;
  read(at: number): string; // the value at a place, for the address
  find(text: string): number; // the place of such a value
}
