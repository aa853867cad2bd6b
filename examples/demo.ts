// Compresses the embedded model with GPTQ and shows what that did: npm run demo
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { evaluate, inspectCheckpoint, oneshot } from "layerwise";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const [model, output, text] = [here("moby-tiny"), here("../out/moby-tiny-W4A16"), here("evaluation.txt")];

const measure = async (folder: string) => {
  const { bytes } = await inspectCheckpoint(folder);
  const { perplexity } = await evaluate({ model: folder, dataset: text, length: 256 });
  return `${(bytes / 1e6).toFixed(2)} MB, perplexity ${perplexity.toFixed(2)}`;
};

console.log(`before: ${await measure(model)}`);
await oneshot({
  model,
  recipe: here("gptq-w4a16.yaml"),
  dataset: here("calibration.jsonl"),
  output,
  overwrite: true,
  maxSeqLength: 256,
  numCalibrationSamples: 32,
  onProgress: (event) => {
    if (event.type !== "module") return;
    const { module, error, errorInDecibels } = event;
    console.log(`  ${module}: error ${error?.toPrecision(3)}, ${errorInDecibels?.toFixed(1)} dB`);
  },
});
console.log(`after:  ${await measure(output)}`);
console.log(`the compressed checkpoint, which vLLM and transformers load as it is: ${relative(".", output)}`);
