// Where each node and device of a pool stands on its canvas: nodes side by side, as many as fit, their devices in a row.
const LABEL_LIMIT_PX = 118;
const SIZES = [[8, 28], [60, 17], [Infinity, 11]]; // up to so many nodes, cells are this wide

// `pen` draws on the canvas itself: another one may have another font.
export function layOut({ devices, nodes }, pool, width, pen) {
  const mine = [];
  const byNode = new Map();
  nodes.pool.forEach((one, node) => { if (one === pool) { mine.push(node); byNode.set(node, []); } });
  devices.node.forEach((node, device) => byNode.get(node)?.push(device));
  const size = SIZES.find(([limit]) => mine.length <= limit)[1];
  const step = size + (size > 20 ? 4 : 2);
  const font = `${size > 12 ? 12 : 10.5}px ${getComputedStyle(document.body).fontFamily}`;
  pen.font = font;
  const label = Math.min(LABEL_LIMIT_PX, Math.max(0, ...mine.map((node) => Math.ceil(pen.measureText(nodes.name[node]).width) + 2))) + 8;
  const most = Math.max(1, ...mine.map((node) => byNode.get(node).length));
  const inLine = Math.max(1, Math.min(most, Math.floor((width - label) / step)));
  const tile = { width: label + inLine * step + 16, height: Math.max(14, Math.ceil(most / inLine) * step) + (size > 20 ? 8 : 4) };
  const columns = Math.max(1, Math.floor((width + 16) / tile.width));

  const cells = [];
  const places = mine.map((node, index) => {
    const x = (index % columns) * tile.width;
    const y = Math.floor(index / columns) * tile.height;
    byNode.get(node).forEach((device, number) => cells.push({ device, size, x: x + label + (number % inLine) * step, y: y + Math.floor(number / inLine) * step + 2 }));
    return { node, x, y, width: label - 8, count: byNode.get(node).length };
  });
  return {
    cells, nodes: places, size, step, font, label, inLine, height: Math.ceil(mine.length / columns) * tile.height + 2,
    at: (x, y) => cells.find((cell) => x >= cell.x && x < cell.x + step && y >= cell.y && y < cell.y + step)?.device ?? -1,
    // The nearest cell in the line above or below; the same one where there is none.
    beside: (at, by) => {
      const here = cells[at];
      let best = at;
      let least = Infinity;
      cells.forEach((cell, index) => {
        const far = (cell.y - here.y) * by;
        if (far <= 0) return;
        const distance = far * 1000 + Math.abs(cell.x - here.x);
        if (distance < least) { least = distance; best = index; }
      });
      return best;
    },
  };
}
