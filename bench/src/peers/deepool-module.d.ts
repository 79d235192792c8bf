declare module "deepool" {
  export function create<T>(make: () => T): { use(): T; recycle(used: T): void };
}
