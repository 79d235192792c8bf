/**
 * Tables for a terminal.
 *
 * @module
 */

/**
 * @param textColumns - so many columns, from the first, are aligned to the left; all others to the right
 * @returns the rows with aligned columns
 */
export function alignColumns(rows: readonly (readonly string[])[], textColumns: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  const align = (cell: string, column: number): string =>
    column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return rows.map((row) => row.map(align).join("  ").trimEnd()).join("\n");
}

/** @returns bytes in the largest binary unit that leaves at least 1 */
export function showBytes(bytes: number): string {
  if (bytes >= 2 ** 20) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return bytes >= 2 ** 10 ? `${(bytes / 2 ** 10).toFixed(0)} KiB` : `${bytes} B`;
}

/** @returns the number with so many decimals, or a dash where there is none */
export function fixed(value: number | null | undefined, decimals: number): string {
  return value === null || value === undefined || Number.isNaN(value) ? "-" : value.toFixed(decimals);
}
