export const HEAPS: number;
export const SCENARIOS: readonly {
  readonly name: string;
  readonly arrange: readonly (readonly [agent: number, act: unknown])[];
  readonly scripts: readonly unknown[];
}[];
