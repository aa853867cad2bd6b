// Compresses the example, exports it, and serves a page that runs it: npm run example:browser
import { fileURLToPath } from "node:url";
import { exportModel, oneshot } from "layerwise";
import { serveExample } from "./server.ts";

const here = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const [compressed, exported] = [here("out/browser/compressed"), here("out/browser/moby-tiny")];

await oneshot({
  model: here("examples/moby-tiny"),
  recipe: here("examples/gptq-w4a16.yaml"),
  dataset: here("examples/calibration.jsonl"),
  numCalibrationSamples: 32,
  maxSeqLength: 256,
  output: compressed,
  overwrite: true,
});
await exportModel({ model: compressed, format: ["onnx"], output: exported, overwrite: true });
const { url } = await serveExample(exported, { port: 8080 });
console.log(`open ${url}`);
