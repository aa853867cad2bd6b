// One measured run in a process of its own: prints a line of JSON with seconds, also of all cores, peak bytes and what each phase took.
//
//   node bench/compress.mjs MODEL TEXTS OUTPUT SAMPLES RECIPE [PASSES [PRECISION]]
import { oneshot } from "layerwise";
import { runOptions } from "./run-options.mjs";

const [model, dataset, output, samples, recipe, passes, precision] = process.argv.slice(2);
const phases = {};
let [phase, since] = ["preparing", performance.now()];
const begin = (next) => {
  phases[phase] = (phases[phase] ?? 0) + (performance.now() - since) / 1000;
  [phase, since] = [next, performance.now()];
};

const start = performance.now();
await oneshot({
  ...runOptions({ model, dataset, samples, recipe, passes, precision }),
  output,
  overwrite: true,
  onProgress: (event) => {
    if (event.type === "phase") begin(event.phase);
  },
});
begin("done");
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage();
const coreSeconds = (user + system) / 1e6;
console.log(JSON.stringify({ seconds, coreSeconds, peakBytes: process.resourceUsage().maxRSS * 1024, phases }));
