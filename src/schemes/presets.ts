import { RecipeError } from "../errors.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { completeScheme, type PartialScheme, type QuantizationScheme } from "./scheme.ts";

type Preset = Omit<PartialScheme, "targets">;

/** Weights alone, in integers with one scale for every 128 columns of a row. */
const weightOnly = (numBits: number, rest: Partial<QuantizationArgs> = {}): Preset => ({
  weights: { numBits, groupSize: 128, ...rest },
});

const PRESETS: Readonly<Record<string, Preset>> = {
  UNQUANTIZED: {},
  W2A16: weightOnly(2),
  W3A16: weightOnly(3),
  W4A16: weightOnly(4),
  W4A16_ASYM: weightOnly(4, { symmetric: false }),
  W5A16: weightOnly(5),
  W6A16: weightOnly(6),
  W7A16: weightOnly(7),
  W8A16: weightOnly(8),
};

/** Presets of compressed-tensors that need a format which cannot be written yet. */
const PLANNED: ReadonlySet<string> = new Set(
  `W2A4 W3A4 W4A4 W2A8 W3A8 W4A8 W5A8 W6A8 W7A8 W8A8 INT8 W4AFP8 FP8 FP8_DYNAMIC FP8_BLOCK
   NVFP4A16 NVFP4 MXFP4A16 MXFP4 MXFP8A16 MXFP8`.split(/\s+/),
);

/** The names that {@link presetScheme} accepts. */
export const presetNames: readonly string[] = Object.keys(PRESETS);

/** Whether compressed-tensors has a preset of this name, be it supported here or not. */
export function isPresetName(name: string): boolean {
  return Object.hasOwn(PRESETS, name.toUpperCase()) || PLANNED.has(name.toUpperCase());
}

/**
 * The scheme that `name` (in upper or lower case) stands for, on `targets`.
 *
 * @throws RecipeError if there is no such preset, or it is not supported yet.
 * @example
 * ```ts
 * presetScheme("W4A16").weights?.numBits; // 4
 * ```
 */
export function presetScheme(name: string, targets: readonly string[] = ["Linear"]): QuantizationScheme {
  const key = name.toUpperCase();
  if (Object.hasOwn(PRESETS, key)) return completeScheme({ ...PRESETS[key], targets });
  const found = PLANNED.has(key) ? "is not supported yet" : "is unknown";
  throw new RecipeError(`scheme: preset "${name}" ${found}, expected one of ${presetNames.join(", ")}.`);
}
