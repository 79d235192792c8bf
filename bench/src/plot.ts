/**
 * Plots as SVG text.
 *
 * @module
 */

/** Colours of the series, in their order. */
export const PLOT_COLOURS: readonly string[] = ["#1b6ca8", "#d1603d", "#4c8c4a", "#8d6cab", "#b59a2b"];

const WIDTH = 900;
const HEIGHT = 260;
const LEFT = 60;
const TOP = 10;
const BOTTOM = 210;

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
