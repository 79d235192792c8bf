/**
 * What a cache should hold so that fetches are as rare as they are wanted: the rules of the tuner, as plain functions.
 *
 * The clock counts allocations of one class by one worker. APF is allocations per fetch, T what it should be.
 *
 * @module
 */

/**
 * The window until the next fetch that brings the average back to T: it grows after too many fetches, and is T after a long
 * time without one.
 *
 * @param target - T
 * @param clock - allocations so far
 * @param fetches - fetches so far
 * @returns allocations, from 1
 */
export function windowOf(target: number, clock: number, fetches: number): number {
  const due = target * (fetches + 1);
  return clock < due ? due - clock : target;
}

/**
 * Blocks to fetch when the cache is empty.
 *
 * @param demand - blocks that must come from outside to serve the window
 * @returns a whole number from 1
 */
export function fetchCount(demand: number): number {
  return Math.max(1, Math.ceil(demand));
}

/** From so many blocks on, a cache gives some back when another one is freed. */
export function returnLimit(demand: number): number {
  return Math.ceil(2 * demand + 1);
}

/**
 * Blocks to return before one more is freed. What stays is the demand; so at the limit itself this is the demand and 1.
 *
 * @param cached - blocks in the cache
 * @param demand - as for {@link fetchCount}; negative when it is not known
 * @returns a whole number from 0
 */
export function returnCount(cached: number, demand: number): number {
  return demand < 0 || cached < returnLimit(demand) ? 0 : cached - Math.floor(demand);
}
