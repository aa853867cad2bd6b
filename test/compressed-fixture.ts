import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";

/** What the reference wrote, a folder for each recipe. */
export const FIXTURES = fileURLToPath(new URL("./fixtures/compressed/", import.meta.url));

const tokens = readSafetensors(join(FIXTURES, "calibration.safetensors"));
const ids = tokens.get("input_ids") as Tensor<"I64">;

/** What the logits of the fixtures are of: I64[2, 32]. */
export const evaluationIds = tokens.get("eval_ids") as Tensor<"I64">;

/** The fixtures' model and calibration data, as the reference took them. */
export const run = {
  model: join(FIXTURES, "model"),
  dataset: Array.from({ length: ids.shape[0] }, (_, row) => ({
    input_ids: Array.from(ids.data.subarray(32 * row, 32 * (row + 1)), Number),
  })),
  shuffleCalibrationSamples: false,
  numCalibrationSamples: 8,
  threads: 1,
} satisfies Partial<OneshotOptions>;

/** Runs a fixture's recipe as the reference did. */
export function compress(name: string, output: string): Promise<void> {
  return oneshot({ ...run, recipe: join(FIXTURES, name, "recipe.yaml"), output });
}

/** The config.json in a folder. */
export function readConfig(folder: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
}

/** SHA-256 of the weights in a folder; of some fixtures it is all that is kept. */
export function hashOfWeights(folder: string): string {
  const kept = join(folder, "model.sha256");
  if (existsSync(kept)) return readFileSync(kept, "utf8").trim();
  return createHash("sha256")
    .update(readFileSync(join(folder, "model.safetensors")))
    .digest("hex");
}
