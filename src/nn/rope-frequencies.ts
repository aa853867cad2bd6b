import { ConfigError } from "../errors.ts";
import type { RopeParameters } from "./rope-config.ts";

/** What the angles of one rotary embedding are made of. */
export interface RopeFrequencies {
  /** One for each pair of columns: position · frequency is the angle. */
  readonly inverseFrequency: Float32Array;
  /** Factor on cos and sin. */
  readonly scaling: number;
  /** For longer sequences: other frequencies from this length on. */
  readonly long?: { readonly beyond: number; readonly inverseFrequency: Float32Array };
}

type Of<Kind> = Extract<RopeParameters, { rope_type: Kind }>;

/** base^(−2i/size) for i < size / 2, in float32 as PyTorch computes it. */
export function plainFrequencies(base: number, size: number): Float32Array {
  return Float32Array.from({ length: size / 2 }, (_, i) => 1 / Math.fround(base ** Math.fround((2 * i) / size)));
}

/**
 * The frequencies of `rope` for heads of which `size` columns are rotated.
 * Formulas of transformers' `modeling_rope_utils`; "dynamic" gives those of short texts (see dynamicFrequencies).
 */
export function ropeFrequencies(rope: RopeParameters, size: number, maxPositions: number): RopeFrequencies {
  const plain = plainFrequencies(rope.rope_theta, size);
  switch (rope.rope_type) {
    case "default":
    case "dynamic":
      return { inverseFrequency: plain, scaling: 1 };
    case "linear":
      return { inverseFrequency: plain.map((frequency) => frequency / rope.factor), scaling: 1 };
    case "llama3":
      return { inverseFrequency: plain.map((frequency) => llama3(frequency, rope, maxPositions)), scaling: 1 };
    case "yarn":
      return yarn(plain, rope, size, maxPositions);
    case "longrope":
      return longrope(plain, rope, maxPositions);
    default:
      return rope satisfies never;
  }
}

/** Long wavelengths are divided by `factor`, short ones kept, those between interpolated. */
function llama3(frequency: number, rope: Of<"llama3">, maxPositions: number): number {
  const { factor, low_freq_factor: low, high_freq_factor: high } = rope;
  const length = rope.original_max_position_embeddings ?? maxPositions;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < length / high) return frequency;
  if (wavelength > length / low) return frequency / factor;
  const smooth = (length / wavelength - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** YaRN (arXiv:2309.00071): a ramp over the columns between interpolated and unchanged frequencies. */
function yarn(plain: Float32Array, rope: Of<"yarn">, size: number, maxPositions: number): RopeFrequencies {
  const length = rope.original_max_position_embeddings ?? maxPositions;
  const column = (rotations: number) =>
    (size * Math.log(length / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.rope_theta));
  const [first, last] = [column(rope.beta_fast || 32), column(rope.beta_slow || 1)];
  const low = Math.max(rope.truncate ? Math.floor(first) : first, 0);
  const high = Math.min(rope.truncate ? Math.ceil(last) : last, size - 1);
  const ramp = (i: number) => Math.min(Math.max((i - low) / (high === low ? 0.001 : high - low), 0), 1);
  const inverseFrequency = plain.map((frequency, i) => (frequency / rope.factor) * ramp(i) + frequency * (1 - ramp(i)));
  return { inverseFrequency, scaling: rope.attention_factor ?? yarnScaling(rope) };
}

function yarnScaling({ factor, mscale, mscale_all_dim }: Of<"yarn">): number {
  const scale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  return mscale && mscale_all_dim ? scale(mscale) / scale(mscale_all_dim) : scale(1);
}

/** LongRoPE (arXiv:2402.13753): a factor for each frequency, another set beyond the original length. */
function longrope(plain: Float32Array, rope: Of<"longrope">, maxPositions: number): RopeFrequencies {
  const length = rope.original_max_position_embeddings ?? maxPositions;
  const factor = rope.factor ?? maxPositions / length;
  const scaling = rope.attention_factor ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(length)));
  const divided = (key: "short_factor" | "long_factor") => {
    checkFactors(key, rope[key], plain.length);
    return plain.map((frequency, i) => frequency / rope[key][i]);
  };
  return {
    inverseFrequency: divided("short_factor"),
    scaling,
    long: { beyond: length, inverseFrequency: divided("long_factor") },
  };
}

function checkFactors(key: string, { length }: readonly number[], expected: number): void {
  if (length === expected) return;
  throw new ConfigError(
    `rope_parameters.${key}: ${length} values, expected ${expected}, one for each pair of rotated columns. Correct it.`,
  );
}
