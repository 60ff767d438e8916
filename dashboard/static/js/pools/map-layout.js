// Where each node and device of a pool lies on its canvas: nodes side by side, as many as fit, their devices in a row.
/** @import { Cell, Layout, MapData, NodePlace } from "./types.d.ts" */
const MAX_LABEL_PX = 118;
const GAP_PX = 16; // between two nodes
const LARGE_PX = 20; // cells larger than this have wider gaps

/** @type {[maxNodes: number, size: number][]} How wide cells are in a pool of so many nodes. */
const CELL_SIZES = [[8, 28], [60, 17], [Infinity, 11]];

/** @param {number} numNodes */
const cellSize = (numNodes) => CELL_SIZES.find(([maxNodes]) => numNodes <= maxNodes)?.[1] ?? 0;

/**
 * The devices of each node of a pool.
 * @param {MapData} data
 * @param {number} pool
 */
function devicesByNode({ devices, nodes }, pool) {
  /** @type {Map<number, number[]>} */
  const found = new Map();
  nodes.pool.forEach((one, node) => {
    if (one === pool) found.set(node, []);
  });
  devices.node.forEach((node, device) => found.get(node)?.push(device));
  return found;
}

/**
 * @param {MapData} data
 * @param {number} pool
 * @param {number} width in CSS pixels
 * @param {CanvasRenderingContext2D} context of the canvas itself, as it measures the names in its font
 * @returns {Layout}
 */
export function layOut(data, pool, width, context) {
  const byNode = devicesByNode(data, pool);
  const size = cellSize(byNode.size);
  const step = size + (size > LARGE_PX ? 4 : 2);
  const font = `${size > 12 ? 12 : 10.5}px ${getComputedStyle(document.body).fontFamily}`;
  context.font = font;
  const names = [...byNode.keys()].map((node) => Math.ceil(context.measureText(data.nodes.name[node]).width) + 2);
  const label = Math.min(MAX_LABEL_PX, Math.max(0, ...names)) + 8;
  const most = Math.max(1, ...[...byNode.values()].map((devices) => devices.length));
  const perLine = Math.max(1, Math.min(most, Math.floor((width - label) / step)));
  const tileWidth = label + perLine * step + GAP_PX;
  const tileHeight = Math.max(14, Math.ceil(most / perLine) * step) + (size > LARGE_PX ? 8 : 4);
  const columns = Math.max(1, Math.floor((width + GAP_PX) / tileWidth));

  /** @type {Cell[]} */
  const cells = [];
  /** @type {NodePlace[]} */
  const nodes = [...byNode].map(([node, devices], index) => {
    const [x, y] = [(index % columns) * tileWidth, Math.floor(index / columns) * tileHeight];
    devices.forEach((device, number) => {
      const [column, line] = [number % perLine, Math.floor(number / perLine)];
      cells.push({ device, size, x: x + label + column * step, y: y + line * step + 2 });
    });
    return { node, x, y, width: label - 8, count: devices.length };
  });
  const height = Math.ceil(byNode.size / columns) * tileHeight + 2;
  return { cells, nodes, size, step, font, label, perLine, height };
}

/**
 * The device at a point of the canvas; -1 where there is none.
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 * @returns {number}
 */
export function deviceAt({ cells, step }, x, y) {
  const cell = cells.find((one) => x >= one.x && x < one.x + step && y >= one.y && y < one.y + step);
  return cell ? cell.device : -1;
}

/**
 * Index of the nearest cell in a line below (by = 1) or above (-1); of the cell itself where there is none.
 * @param {Layout} layout
 * @param {number} from index of a cell
 * @param {1 | -1} by
 * @returns {number}
 */
export function cellBeyond({ cells }, from, by) {
  const start = cells[from];
  let nearest = from;
  let least = Infinity;
  if (start) cells.forEach((cell, index) => {
    const lines = (cell.y - start.y) * by;
    if (lines <= 0) return;
    const distance = lines * 1000 + Math.abs(cell.x - start.x); // the line counts first
    if (distance < least) [nearest, least] = [index, distance];
  });
  return nearest;
}
