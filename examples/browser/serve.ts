// Compresses the example, exports it, and serves a page that runs it: npm run example:browser [-- PORT]
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
const port = Number(process.argv[2] ?? 8080);
const { url } = await serveExample(exported, { port }).catch((cause) => {
  throw new Error(`port ${port}: taken, expected a free one. Name another: npm run example:browser -- PORT`, { cause });
});
console.log(`open ${url} (Ctrl-C ends the server)`);
