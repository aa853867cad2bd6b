// What a dry run predicts, in a process of its own: prints a line of JSON with seconds, peak bytes and bytes of the output.
//
//   node bench/predict.mjs MODEL TEXTS SAMPLES RECIPE [PASSES [PRECISION]]
import { estimate } from "layerwise";
import { runOptions } from "./run-options.mjs";

const [model, dataset, samples, recipe, passes, precision] = process.argv.slice(2);
const { seconds, peakBytes, outputBytes } = await estimate(
  runOptions({ model, dataset, samples, recipe, passes, precision }),
);
const sum = (parts) => Object.values(parts).reduce((total, part) => total + part, 0);
console.log(
  JSON.stringify({ seconds: sum(seconds), peakBytes: sum(peakBytes), outputBytes, parts: { seconds, peakBytes } }),
);
