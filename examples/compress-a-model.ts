// Compresses the embedded model without calibration data, and shows what the result holds.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspectCheckpoint, oneshot, QuantizationModifier } from "layerwise";

const output = join(await mkdtemp(join(tmpdir(), "layerwise-")), "moby-tiny-W8A16");
await oneshot({
  model: fileURLToPath(new URL("moby-tiny", import.meta.url)),
  recipe: new QuantizationModifier({ scheme: "W8A16", ignore: ["lm_head"] }),
  output,
});
const { storage, ratio } = await inspectCheckpoint(output);
for (const { format, weights, modules, bytes } of storage)
  console.log(`${format}, ${weights}: ${modules} modules, ${bytes} bytes`);
console.log(`${ratio.toFixed(2)} times smaller than at 16 bits: ${output}`);
