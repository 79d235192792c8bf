/**
 * Meshes in a buffer of WebGL, whose ranges mempool hands out: 16 tiles of 16 by 16 pixels, each a mesh of its own.
 *
 * @module
 */
import { Heap, NULL } from "@heapwright/core";
import { Mempool } from "@heapwright/mempool";

/** @import { HeapError, Ptr } from "@heapwright/core" */
/** @typedef {readonly [number, number, number]} Colour */

const BASE = 4096;
const BYTES = 16 * 256;
const TILES = 16;
const SIDE = 16;
/** Two floats for the place, three for the colour; six corners. */
const VERTEX_BYTES = 20;
const TILE_BYTES = 6 * VERTEX_BYTES;

/**
 * @template T
 * @param {T | null | undefined} thing
 * @returns {T}
 */
function there(thing) {
  if (thing === null || thing === undefined) throw new Error("no WebGL");
  return thing;
}

const gl = there(
  document.querySelector("canvas")?.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true }),
);

/**
 * @param {number} type
 * @param {string} source
 */
function shader(type, source) {
  const made = there(gl.createShader(type));
  gl.shaderSource(made, `#version 300 es\nprecision highp float;\n${source}`);
  gl.compileShader(made);
  if (gl.getShaderParameter(made, gl.COMPILE_STATUS) !== true) throw new Error(gl.getShaderInfoLog(made) ?? "shader");
  return made;
}

const program = there(gl.createProgram());
const varying = "in vec2 place; in vec3 colour; out vec3 tint;";
gl.attachShader(
  program,
  shader(gl.VERTEX_SHADER, `${varying} void main() { tint = colour; gl_Position = vec4(place, 0, 1); }`),
);
gl.attachShader(
  program,
  shader(gl.FRAGMENT_SHADER, "in vec3 tint; out vec4 pixel; void main() { pixel = vec4(tint, 1); }"),
);
gl.linkProgram(program);
gl.useProgram(program);
const place = gl.getAttribLocation(program, "place");
const colour = gl.getAttribLocation(program, "colour");
gl.enableVertexAttribArray(place);
gl.enableVertexAttribArray(colour);

// What lies before and behind the range belongs to someone else.
const guard = 0xa5;
gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
gl.bufferData(gl.ARRAY_BUFFER, new Uint8Array(BASE + BYTES + BASE).fill(guard), gl.DYNAMIC_DRAW);

const tables = new Heap({ bytes: 65_536 });
const slots = new Mempool(BYTES, 256, { backing: tables, external: { base: BASE, bytes: BYTES }, alignment: 256 });

/**
 * The corners of tiles, in one colour.
 *
 * @param {readonly number[]} tiles
 * @param {Colour} tint
 */
function meshOf(tiles, tint) {
  const corners = tiles.flatMap((tile) => {
    const [x, y] = [(tile % 4) / 2 - 1, Math.floor(tile / 4) / 2 - 1];
    const [right, top] = [x + 0.5, y + 0.5];
    return [
      [x, y],
      [right, y],
      [x, top],
      [x, top],
      [right, y],
      [right, top],
    ].flatMap((at) => [...at, ...tint]);
  });
  return new Float32Array(corners);
}

/**
 * Finds room for a mesh, and uploads it.
 *
 * @param {Float32Array<ArrayBuffer>} mesh
 */
function upload(mesh) {
  const at = slots.malloc(mesh.byteLength);
  if (at !== NULL) gl.bufferSubData(gl.ARRAY_BUFFER, at, mesh);
  return at;
}

/**
 * @param {Ptr} at
 * @param {number} tiles
 */
function draw(at, tiles) {
  gl.vertexAttribPointer(place, 2, gl.FLOAT, false, VERTEX_BYTES, at);
  gl.vertexAttribPointer(colour, 3, gl.FLOAT, false, VERTEX_BYTES, at + 8);
  gl.drawArrays(gl.TRIANGLES, 0, 6 * tiles);
}

/** The red, green and blue of each tile's middle. */
function look() {
  const pixels = new Uint8Array(64 * 64 * 4);
  gl.readPixels(0, 0, 64, 64, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  return Array.from({ length: TILES }, (_, tile) => {
    const start = ((Math.floor(tile / 4) * SIDE + 8) * 64 + (tile % 4) * SIDE + 8) * 4;
    return [...pixels.subarray(start, start + 3)];
  });
}

/**
 * Whether the buffer holds, at a place, what was uploaded there.
 *
 * @param {Ptr} at
 * @param {Float32Array} mesh
 */
function holds(at, mesh) {
  const held = new Float32Array(mesh.length);
  gl.getBufferSubData(gl.ARRAY_BUFFER, at, held);
  return held.every((value, index) => value === mesh[index]);
}

function clear() {
  gl.clearColor(0, 0, 0, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
}

const all = Array.from({ length: TILES }, (_, tile) => tile);
/** @type {(tile: number) => Colour} */
const first = (tile) => [tile / 15, 1 - tile / 15, 1];

// A mesh for each tile, in all the room there is.
clear();
const meshes = all.map((tile) => meshOf([tile], first(tile)));
const places = meshes.map(upload);
const isFull = slots.malloc(TILE_BYTES) === NULL;
places.forEach((at) => draw(at, 1));
const filled = {
  places: [...places],
  colours: look(),
  held: places.every((at, tile) => holds(at, meshes[tile] ?? new Float32Array())),
};

// Every other one is freed, and the room used again for other colours.
const odd = all.filter((tile) => tile % 2 === 1);
for (const tile of odd) slots.free(/** @type {Ptr} */ (places[tile]));
for (const tile of odd) places[tile] = upload(meshOf([tile], [1, 0.2, 0]));
clear();
places.forEach((at) => draw(at, 1));
const reused = { places: [...places], colours: look() };

// Three neighbours make room for a mesh of six tiles: a run of blocks.
for (const tile of [4, 5, 6]) slots.free(/** @type {Ptr} */ (places[tile]));
const six = [0, 1, 2, 3, 4, 5];
const large = meshOf(six, [0, 0.4, 0.6]);
const run = upload(large);
clear();
places.forEach((at, tile) => [4, 5, 6].includes(tile) || draw(at, 1));
draw(run, six.length);
const joined = { place: run, bytes: slots.usableSize(run), colours: look(), held: holds(run, large) };

/** @type {string | undefined} */
let code;
slots.free(run);
try {
  slots.free(run);
} catch (error) {
  ({ code } = /** @type {HeapError} */ (error));
}
for (const tile of all) if (![4, 5, 6].includes(tile)) slots.free(/** @type {Ptr} */ (places[tile]));
slots.check();
const isEmpty = slots.malloc(BYTES) === BASE;
slots.destroy();

const [before, behind] = [0, BASE + BYTES].map((start) => {
  const bytes = new Uint8Array(BASE);
  gl.getBufferSubData(gl.ARRAY_BUFFER, start, bytes);
  return bytes.every((byte) => byte === guard);
});
const untouched = before && behind;
const found = {
  filled,
  isFull,
  reused,
  joined,
  code,
  isEmpty,
  untouched,
  error: gl.getError(),
  live: tables.stats().liveBlocks,
};
Object.assign(globalThis, { found });
