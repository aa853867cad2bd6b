// One measured export in a process of its own, and the check of what it wrote: prints a line of JSON with seconds, also of all cores,
// and peak bytes.
//
//   node bench/export.mjs MODEL OUTPUT FORMAT DTYPE [MAX_SHARD_SIZE]
import { exportModel } from "layerwise";

const [model, output, format, dtype, maxShardSize] = process.argv.slice(2);
const start = performance.now();
await exportModel({
  model,
  output,
  format: [format],
  dtype: [dtype],
  overwrite: true,
  maxShardSize: maxShardSize ? Number(maxShardSize) : undefined,
});
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage();
const coreSeconds = (user + system) / 1e6;
console.log(JSON.stringify({ seconds, coreSeconds, peakBytes: process.resourceUsage().maxRSS * 1024 }));
