// Draws what tuner.mjs has measured: a panel for each load, as SVG.

const COLUMNS = 2;
const WIDTH = 440;
const HEIGHT = 190;
const LEFT = 52;
const RIGHT = 12;
const TOP = 34;
const BOTTOM = 26;
const HEAD = 34;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
const COLOURS = { fixed: "#c9c9c4", cached: "#1b6ca8", demand: "#d1603d" };

const round = (value) => Math.round(value * 10) / 10;

/** A line through the least and the greatest value of each column of pixels, so that no tooth of a saw is lost. */
function line(points, valueOf, xMax, yMax, colour) {
  const columns = Array.from({ length: PLOT_WIDTH }, () => []);
  for (const point of points) {
    const value = valueOf(point);
    const column = Math.min(PLOT_WIDTH - 1, Math.floor((point.allocations / xMax) * PLOT_WIDTH));
    if (value !== undefined) columns[column].push(value);
  }
  const y = (value) => round(TOP + PLOT_HEIGHT * (1 - value / yMax));
  const places = columns.flatMap((values, x) => {
    if (values.length === 0) return [];
    const [low, high] = [y(Math.min(...values)), y(Math.max(...values))];
    const isRising = values[0] < values.at(-1);
    return (low === high ? [low] : isRising ? [low, high] : [high, low]).map((at) => `${LEFT + x},${at}`);
  });
  return `<polyline points="${places.join(" ")}" fill="none" stroke="${colour}" stroke-width="1.3"/>`;
}

function panel({ name, tuned, fixed }) {
  const xMax = Math.max(...tuned.map(({ allocations }) => allocations));
  const yMax =
    1000 * Math.ceil(Math.max(4096, ...tuned.map(({ cached, demand }) => Math.max(cached, demand ?? 0))) / 1000);
  const grid = [0, 0.5, 1].map((part) => {
    const y = round(TOP + PLOT_HEIGHT * (1 - part));
    const rule = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="#e4e4e0"/>`;
    return `${rule}<text x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${yMax * part}</text>`;
  });
  return [
    `<text x="${LEFT}" y="${TOP - 12}" font-weight="600">${name}</text>`,
    ...grid,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${Math.round(xMax / 1000)},000 allocations</text>`,
    line(fixed, ({ cached }) => cached, xMax, yMax, COLOURS.fixed),
    line(tuned, ({ cached }) => cached, xMax, yMax, COLOURS.cached),
    line(tuned, ({ demand }) => demand, xMax, yMax, COLOURS.demand),
  ].join("\n");
}

function key() {
  const entries = { cached: "blocks in the cache", demand: "the tuner's demand", fixed: "under a fixed rule" };
  return Object.entries(entries).map(([name, text], i) => {
    const x = LEFT + i * 190;
    return `<rect x="${x}" y="14" width="12" height="12" fill="${COLOURS[name]}"/><text x="${x + 18}" y="24">${text}</text>`;
  });
}

/** @returns the picture, as text */
export function picture(panels) {
  const [width, height] = [COLUMNS * WIDTH, HEAD + Math.ceil(panels.length / COLUMNS) * HEIGHT];
  const drawn = panels.map((each, i) => {
    const [x, y] = [(i % COLUMNS) * WIDTH, HEAD + Math.floor(i / COLUMNS) * HEIGHT];
    return `<g transform="translate(${x} ${y})">\n${panel(each)}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" \
font-size="11" fill="#444" role="img">
<title>Blocks in a cache over time, for six loads</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${key().join("\n")}
${drawn.join("\n")}
</svg>
`;
}
