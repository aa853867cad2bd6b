import type { LlamaConfig } from "../models/llama.ts";
import { ropeFrequencies } from "../nn/rope-frequencies.ts";
import type { Source } from "./check-checkpoint.ts";
import type { OpenedGguf } from "./opened-gguf.ts";
import { type Problem, problem } from "./problem.ts";

/** What of config.json a file's keys tell, as single numbers. */
const SETTINGS = [
  "vocab_size",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "num_key_value_heads",
  "head_dim",
  "max_position_embeddings",
  "rms_norm_eps",
] as const;

/** What single precision keeps of a number. */
const TOLERANCE = 1e-5;

/** Compares the settings that a file's keys tell with those of the source, and the angles of its rotation. */
export function checkGgufSettings({ model }: OpenedGguf, source: Source): Problem[] {
  const [found, expected] = [model.config as LlamaConfig, source.model.config as LlamaConfig];
  const settings = SETTINGS.filter((key) => expected[key] !== undefined && !isNear(found[key], expected[key])).map(
    (key) => problem(key, `${found[key]} by the file's keys`, `${expected[key]}, as the source has`),
  );
  if (settings.length > 0 || !hasPlainRope(found) || !hasPlainRope(expected)) return settings;
  const [has, wants] = [found, expected].map(frequenciesOf);
  const different = has.findIndex((frequency, index) => !isNear(frequency, wants[index]));
  if (different < 0) return [];
  const [angle, other] = [has, wants].map((frequencies) => `a frequency of ${frequencies[different]}`);
  return [problem("rope_parameters", `${angle} at ${different} by the file's keys`, `${other}, as the source has`)];
}

function isNear(found: number, expected: number): boolean {
  return Math.abs(found - expected) <= TOLERANCE * Math.abs(expected);
}

/** Whether all layers have the same angles. */
function hasPlainRope({ rope_parameters: rope }: LlamaConfig): boolean {
  return typeof rope === "object" && rope !== null && "rope_type" in rope;
}

/** Frequencies, and the factor on cos and sin after them. */
function frequenciesOf({ rope_parameters: rope, head_dim, max_position_embeddings }: LlamaConfig): Float32Array {
  const { inverseFrequency, scaling } = ropeFrequencies(rope, head_dim, max_position_embeddings);
  return Float32Array.of(...inverseFrequency, scaling);
}
