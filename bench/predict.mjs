// What a dry run predicts, in a process of its own: prints a line of JSON with seconds, peak bytes and bytes of the output.
//
//   node bench/predict.mjs MODEL TEXTS SAMPLES RECIPE [PASSES [PRECISION]]
import { estimate } from "layerwise";

const [model, dataset, samples, recipe, passes, precision = "F32"] = process.argv.slice(2);
const { seconds, peakBytes, outputBytes } = await estimate({
  model,
  recipe,
  dataset,
  precision,
  numCalibrationSamples: Number(samples),
  shuffleCalibrationSamples: false,
  maxSeqLength: 512,
  addSpecialTokens: false,
  onePass: passes === "1",
});
const sum = (parts) => Object.values(parts).reduce((total, part) => total + part, 0);
console.log(
  JSON.stringify({ seconds: sum(seconds), peakBytes: sum(peakBytes), outputBytes, parts: { seconds, peakBytes } }),
);
