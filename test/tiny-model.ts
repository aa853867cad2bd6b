import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GPTQModifier, type GPTQOptions } from "../src/modifiers/gptq.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { readSafetensors } from "./read-safetensors.ts";

const FIXTURE = fileURLToPath(new URL("./fixtures/compressed/", import.meta.url));

/** Folder of a Llama with two layers, which the fixtures are made of. */
export const TINY_MODEL = join(FIXTURE, "model");

/** File of the token ids that it is calibrated on. */
export const CALIBRATION_FILE = join(FIXTURE, "calibration.safetensors");

const ids = readSafetensors(CALIBRATION_FILE).get("input_ids");

/** The same as rows of a data set: 8 of 32 tokens. */
export const calibrationRows = Array.from({ length: 8 }, (_, row) => ({
  input_ids: Array.from(ids?.data.subarray(32 * row, 32 * (row + 1)) ?? [], Number),
}));

/** Weights that fit its 128 columns. */
export const int4 = { numBits: 4, groupSize: 32 };

/** GPTQ for all its linears but the last. */
export function gptq(options: Partial<GPTQOptions> = {}): GPTQModifier {
  const configGroups = { group: { targets: ["Linear"], weights: int4 } };
  return new GPTQModifier({ ignore: ["lm_head"], configGroups, ...options });
}

/** Compresses it with {@link gptq}, or as `options` say. */
export function compressTinyModel(options: Partial<OneshotOptions> & Pick<OneshotOptions, "output">): Promise<void> {
  return oneshot({
    model: TINY_MODEL,
    recipe: gptq(),
    dataset: calibrationRows,
    shuffleCalibrationSamples: false,
    numCalibrationSamples: 8,
    threads: 1,
    ...options,
  });
}
