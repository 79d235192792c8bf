/**
 * Plots as SVG text.
 *
 * @module
 */

/** Colours of the series, in their order. */
export const PLOT_COLOURS: readonly string[] = [
  "#1b6ca8",
  "#d1603d",
  "#4c8c4a",
  "#8d6cab",
  "#b59a2b",
  "#3aa6a0",
  "#a33b5e",
  "#7a7a7a",
  "#5c4a3d",
  "#9bc53d",
];

const WIDTH = 900;
const HEIGHT = 260;
const LEFT = 60;
const TOP = 10;
const BOTTOM = 210;
/** Room for a title. */
const HEAD = 40;
/** Room at the right of a curve. */
const LABEL = 40;

export interface BarPlot {
  readonly groups: readonly string[];
  /** One array per colour, one value per group; null leaves a gap. */
  readonly series: readonly (readonly (number | null)[])[];
  /** `unit` is linear from 0 to 1. */
  readonly scale: "log" | "unit";
}

export type Point = readonly [x: number, y: number];

export interface LinePlot {
  /** Shaded below. */
  readonly area: readonly Point[];
  readonly lines: readonly { readonly colour: string; readonly points: readonly Point[] }[];
  readonly xMax: number;
  showY(value: number): string;
}

/** @returns bars in groups, one colour per series */
export function barPlot({ groups, series, scale }: BarPlot): string {
  const values = series.flat().filter((value) => value !== null);
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(1, ...values))));
  const fraction = (value: number): number => (scale === "unit" ? value : Math.max(0, Math.log10(value) / decades));
  const ticks = scale === "unit" ? [0, 0.25, 0.5, 0.75, 1] : Array.from({ length: decades + 1 }, (_, i) => 10 ** i);
  const groupWidth = (WIDTH - LEFT) / Math.max(1, groups.length);
  const barWidth = (groupWidth * 0.8) / Math.max(1, series.length);
  const bars = series.flatMap((row, index) =>
    row.map((value, group) => {
      if (value === null) return "";
      const height = Math.min(1, fraction(value)) * (BOTTOM - TOP);
      const x = LEFT + group * groupWidth + groupWidth * 0.1 + index * barWidth;
      const colour = PLOT_COLOURS[index % PLOT_COLOURS.length] ?? "#000";
      return `${rectangle(x, BOTTOM - height, barWidth, height, colour)}<title>${value.toPrecision(4)}</title></rect>`;
    }),
  );
  const names = groups.map((name, group) => {
    const x = LEFT + (group + 0.5) * groupWidth;
    return `<text transform="translate(${round(x + 6)} ${BOTTOM + 14}) rotate(-20)" text-anchor="end">${escapeText(name)}</text>`;
  });
  return svg([axis(ticks, fraction, String), ...bars, ...names]);
}

/** A curve over powers of ten. */
export interface Curve {
  readonly name: string;
  readonly points: readonly Point[];
}

/** @returns curves, both axes logarithmic; each with its name at its end */
export function curvePlot(curves: readonly Curve[]): string {
  const all = curves.flatMap(({ points }) => points);
  const xs = all.map(([x]) => Math.log10(x));
  const ys = all.map(([, y]) => Math.log10(y));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))];
  const fraction = (value: number): number => (Math.log10(value) - low) / Math.max(1, high - low);
  const place = ([x, y]: Point): string =>
    `${round(LEFT + ((Math.log10(x) - left) / (right - left)) * (WIDTH - LEFT - LABEL))},` +
    `${round(BOTTOM - fraction(y) * (BOTTOM - TOP))}`;
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  const decades = Array.from(
    { length: Math.floor(right) - Math.ceil(left) + 1 },
    (_, i) => 10 ** (Math.ceil(left) + i),
  );
  return svg([
    axis(ticks, fraction, String),
    ...curves.map(({ points }, index) => {
      const colour = PLOT_COLOURS[index % PLOT_COLOURS.length] ?? "#000";
      return `<polyline points="${points.map(place).join(" ")}" fill="none" stroke="${colour}" stroke-width="1.8"/>`;
    }),
    ...decades.map((x) => {
      const [at] = place([x, 10 ** low]).split(",");
      return `<text x="${at ?? 0}" y="${BOTTOM + 16}" text-anchor="middle">${x.toLocaleString("en")}</text>`;
    }),
  ]);
}

/**
 * @param names - of the series, in the order of their colours
 * @returns a file of its own: the plot with a title and a key, on white
 */
export function standalone(title: string, names: readonly string[], plot: string): string {
  const columns = 6;
  const rows = Math.ceil(names.length / columns);
  const height = HEIGHT + HEAD + 18 * rows;
  const key = names.map((name, index) => {
    const [x, y] = [LEFT + 138 * (index % columns), HEAD + 18 * Math.floor(index / columns) - 6];
    const colour = PLOT_COLOURS[index % PLOT_COLOURS.length] ?? "#000";
    return `${rectangle(x, y - 9, 10, 10, colour)}</rect><text x="${x + 14}" y="${y}">${escapeText(name)}</text>`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">` +
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>` +
    `<text x="${LEFT}" y="16" font-size="14">${escapeText(title)}</text>${key.join("")}` +
    plot.replace("<svg ", `<svg y="${HEAD + 18 * (rows - 1)}" width="${WIDTH}" height="${HEIGHT}" `) +
    "</svg>\n"
  );
}

/** @returns lines over a shaded area, both axes linear from 0 */
export function linePlot({ area, lines, xMax, showY }: LinePlot): string {
  const yMax = Math.max(1, ...[area, ...lines.map((line) => line.points)].flat().map(([, y]) => y));
  const place = ([x, y]: Point): string =>
    `${round(LEFT + (x / Math.max(1, xMax)) * (WIDTH - LEFT - 10))},${round(BOTTOM - (y / yMax) * (BOTTOM - TOP))}`;
  const last = area.at(-1);
  const shaded = last === undefined ? [] : [[0, 0] as const, ...area, [last[0], 0] as const];
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => part * yMax);
  return svg([
    axis(ticks, (value) => value / yMax, showY),
    `<polygon points="${shaded.map(place).join(" ")}" fill="#ddd"/>`,
    ...lines.map(
      ({ colour, points }) =>
        `<polyline points="${points.map(place).join(" ")}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
    ),
    `<text x="${WIDTH - 10}" y="${BOTTOM + 16}" text-anchor="end">operation ${xMax}</text>`,
  ]);
}

function axis(ticks: readonly number[], fraction: (value: number) => number, show: (value: number) => string): string {
  return ticks
    .map((value) => {
      const y = round(BOTTOM - fraction(value) * (BOTTOM - TOP));
      return (
        `<line x1="${LEFT}" x2="${WIDTH}" y1="${y}" y2="${y}" stroke="#e4e4e0"/>` +
        `<text x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${show(value)}</text>`
      );
    })
    .join("");
}

function rectangle(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${colour}">`;
}

/** @returns the text as it has to stand in markup */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function svg(parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join("")}</svg>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
