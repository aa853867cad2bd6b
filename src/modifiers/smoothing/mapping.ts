import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";

/** A weight whose columns undo factors on what its linear reads. */
export interface BalancedWeight {
  /** Path of the module. */
  readonly path: string;
  readonly module: Module;
  /** [out, in]. */
  readonly weight: Parameter;
}

/** A parameter that a value is divided with: a row of it for each column of the value. */
interface SmoothedParameter {
  readonly parameter: Parameter;
  /** What is added to the stored values where they are used: 1 in Gemma's norms. */
  readonly offset: number;
}

/**
 * A value and everything that reads it: dividing column `rows[k]` of the value by a factor, and multiplying column k of every
 * balanced weight by it, leaves the model's function as it is.
 */
export interface Mapping {
  /** Path of the norm or linear that makes the value. */
  readonly path: string;
  readonly module: Module;
  readonly parameters: readonly SmoothedParameter[];
  readonly rows: Int32Array;
  readonly balanced: readonly BalancedWeight[];
  /** Whether a linear comes after all that are balanced: not so for a model's last projection. */
  readonly isInner: boolean;
}

/** A module whose output might be divided: with its mapping, or with what stands in the way. */
export interface Candidate {
  readonly path: string;
  readonly module: Module;
  readonly mapping?: Mapping;
  readonly obstacle?: Obstacle;
}

/** Why factors cannot be moved out of a module's output. */
export interface Obstacle {
  /** What reads the output, in words. */
  readonly reason: string;
  /** Whether several columns of a linear's input come from one of the output's, as in grouped-query attention. */
  readonly isShared: boolean;
}

/** A mapping in words, for errors: `model.layers.0.input_layernorm → q_proj, k_proj, v_proj`. */
export function describeMapping({ path, balanced }: Mapping): string {
  return `${path} → ${balanced.map((weight) => weight.path.split(".").at(-1)).join(", ")}`;
}
