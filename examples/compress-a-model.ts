// Compresses the embedded model with a modifier made in code, on texts that the program supplies; stops on Ctrl-C.
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { GPTQModifier, inspectCheckpoint, oneshot } from "layerwise";

/** Calibration data may be any iterable of rows; here, lines of a file as they are read. */
async function* texts(file: URL): AsyncGenerator<{ text: string }> {
  const handle = await open(file);
  for await (const line of handle.readLines()) yield JSON.parse(line);
}

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

const output = fileURLToPath(new URL("../out/moby-tiny-W8A16", import.meta.url));
await oneshot({
  model: fileURLToPath(new URL("moby-tiny", import.meta.url)),
  recipe: new GPTQModifier({ scheme: "W8A16", ignore: ["lm_head"] }),
  dataset: texts(new URL("calibration.jsonl", import.meta.url)),
  output,
  overwrite: true,
  maxSeqLength: 64,
  numCalibrationSamples: 8,
  signal: interrupted.signal,
  onProgress: (event) => {
    if (event.type === "phase") console.log(`subgraph ${event.subgraph + 1} of ${event.subgraphs}: ${event.phase}`);
  },
});

const { storage, ratio } = await inspectCheckpoint(output);
for (const { format, weights, modules, bytes } of storage)
  console.log(`${format}, ${weights}: ${modules} modules, ${bytes} bytes`);
console.log(`${ratio.toFixed(2)} times smaller than at 16 bits`);
