import { RecipeError } from "../errors.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { completeScheme, type PartialScheme, type QuantizationScheme } from "./scheme.ts";

type Preset = Omit<PartialScheme, "targets">;

type Args = Partial<QuantizationArgs>;

/** A scale for every token, found when it is there. */
const perToken = (rest: Args): Args => ({ strategy: "token", dynamic: true, ...rest });

/** Weights in integers with one scale for every 128 columns of a row, inputs as they are. */
const weightOnly = (numBits: number, rest: Args = {}): Preset => ({ weights: { numBits, groupSize: 128, ...rest } });

/** Weights as in {@link weightOnly}, inputs in integers with one scale a token. */
const integers = (numBits: number, inputBits: number): Preset => ({
  ...weightOnly(numBits),
  inputActivations: perToken({ numBits: inputBits }),
});

/** Integers of 8 bits, the weights' with one scale a row. */
const int8: Preset = { weights: { strategy: "channel" }, inputActivations: perToken({}) };

const float8: Args = { type: "float", numBits: 8 };
const nvfp4: Args = {
  type: "float",
  numBits: 4,
  strategy: "tensor_group",
  groupSize: 16,
  scaleDtype: "torch.float8_e4m3fn",
};
const microscaled = (numBits: number): Args => ({ type: "float", numBits, groupSize: 32, scaleDtype: "torch.uint8" });

const PRESETS: Readonly<Record<string, Preset>> = {
  UNQUANTIZED: {},
  W4A16_ASYM: weightOnly(4, { symmetric: false }),
  W8A8: int8,
  INT8: int8,
  W4AFP8: { ...weightOnly(4), inputActivations: perToken(float8) },
  FP8: { weights: float8, inputActivations: { ...float8, observer: "static_minmax" } },
  FP8_DYNAMIC: { weights: { ...float8, strategy: "channel" }, inputActivations: perToken(float8) },
  FP8_BLOCK: {
    weights: { ...float8, strategy: "block", blockStructure: [128, 128] },
    inputActivations: { ...float8, groupSize: 128, dynamic: true },
  },
  NVFP4A16: { weights: nvfp4 },
  NVFP4: { weights: nvfp4, inputActivations: { ...nvfp4, dynamic: "local", observer: "static_minmax" } },
  MXFP4A16: { weights: microscaled(4) },
  MXFP4: { weights: microscaled(4), inputActivations: { ...microscaled(4), dynamic: true } },
  MXFP8A16: { weights: microscaled(8) },
  MXFP8: { weights: microscaled(8), inputActivations: { ...microscaled(8), dynamic: true } },
  ...Object.fromEntries([2, 3, 4].map((bits) => [`W${bits}A4`, integers(bits, 4)])),
  ...Object.fromEntries([2, 3, 4, 5, 6, 7].map((bits) => [`W${bits}A8`, integers(bits, 8)])),
  ...Object.fromEntries([2, 3, 4, 5, 6, 7, 8].map((bits) => [`W${bits}A16`, weightOnly(bits)])),
};

/** The names that {@link presetScheme} accepts. */
export const presetNames: readonly string[] = Object.keys(PRESETS);

/**
 * The scheme that `name` (in upper or lower case) stands for, on `targets`.
 *
 * @throws RecipeError if there is no such preset.
 * @example
 * ```ts
 * presetScheme("W4A16").weights?.numBits; // 4
 * ```
 */
export function presetScheme(name: string, targets: readonly string[] = ["Linear"]): QuantizationScheme {
  const key = name.toUpperCase();
  if (Object.hasOwn(PRESETS, key)) return completeScheme({ ...PRESETS[key], targets });
  throw new RecipeError(`scheme: preset "${name}" is unknown, expected one of ${presetNames.join(", ")}.`);
}
