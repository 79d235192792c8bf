/** Required from CommonJS, where node can do that with modules. */
const { Heap } = require("@heapwright/core");

for (const name of ["apf", "apf/c", "apf/collections", "apf/timescale", "memkit", "mempool", "pool", "refcount"]) {
  if (Object.keys(require(`@heapwright/${name}`)).length === 0) throw new Error(`${name} is empty`);
}
const { everyPackage } = require("./every-package.js");

console.log(JSON.stringify([everyPackage(new Heap({ bytes: 1 << 20 }))]));
