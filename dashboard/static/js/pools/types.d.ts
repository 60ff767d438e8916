// Shapes of the map of pools: what the server answers (dashboard's pool map), and what is drawn of it.

/** Columns: row i of each list belongs to the same device or node. */
export interface MapData {
  pools: string[];
  nodes: {
    id: string[];
    name: string[];
    pool: number[]; // index into pools
    state: string[]; // "open" where nothing keeps work away
    is_simulated: (0 | 1)[];
  };
  devices: {
    node: number[]; // index into nodes
    index: number[]; // within the node
    health: ("ok" | "suspect" | "failed")[];
    holder: number[]; // index into holders; -1: free
    compute: number[]; // per cent; negative: -1 - the index of the reason why it is absent
    memory: number[];
    bandwidth: number[];
    power: number[]; // watts
  };
  holders: (Holder | null)[]; // null: a job of another team
  reasons: string[];
}

export type Holder = [job: string, owner: string, team: string, run: string];
export type Reading = "compute" | "memory" | "bandwidth" | "power";
export type Colouring = Reading | "team" | "health";

/** How many devices each team holds: "" for free ones, null for teams that must not be named. */
export interface Teams {
  counts: Map<string | null, number>;
  named: string[];
}

export interface MapState {
  data: MapData;
  teams: Teams;
  colouring: Colouring;
  active: number; // the device under the pointer or the keyboard's cursor; -1: none
}

export interface Cell {
  device: number;
  x: number;
  y: number;
  size: number;
}

export interface NodePlace {
  node: number;
  x: number;
  y: number;
  width: number; // of its name
  count: number; // of its devices
}

/** Where the devices and nodes of one pool are drawn. */
export interface Layout {
  cells: Cell[];
  nodes: NodePlace[];
  size: number; // of a cell
  step: number; // from one cell to the next
  font: string;
  label: number; // width of the names, the gap included
  perLine: number; // cells
  height: number;
}

/** One pool of the map. */
export interface PoolCanvas {
  pool: number;
  canvas: HTMLCanvasElement;
  figure: HTMLElement;
  layout: Layout;
}

/** Colours of the theme, and what is derived from them. */
export interface Palette {
  ink: string;
  soft: string;
  line: string;
  surface: string;
  tones: Record<Tone, string>;
  teams: Map<string | null, string>;
  otherTeams: string;
  scale: string[]; // of readings, from 0 to the most
  most: number; // the reading at the end of the scale
  hatch: CanvasPattern | null; // of readings that are absent
}

export type Tone = "good" | "warn" | "bad" | "calm";
