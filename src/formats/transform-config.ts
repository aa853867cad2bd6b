import { z } from "zod";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { ConfigError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import {
  attachTransform,
  type OnlineLocation,
  type TransformGroup,
  TransformMatrix,
  transformName,
} from "../nn/online-transform.ts";

const strings = z.union([z.array(z.string()), z.string().transform((one) => [one])]);

const argsSchema = z.strictObject({
  targets: strings,
  location: z.enum(
    ["input", "weight_input", "weight_output", "output"],
    "not one of input, weight_input, weight_output and output, expected no transforms of attention",
  ),
  inverse: z.boolean().default(false),
  ignore: strings.default([]),
});

/** One group of `transform_config`. A random matrix is stored beside its inverse, and a permutation beside its matrix. */
export const transformGroupSchema = z.strictObject({
  type: z.enum(["hadamard", "random-hadamard"], "not supported, expected hadamard or random-hadamard"),
  apply: z.array(argsSchema).default([]),
  randomize: z.literal(false, "not supported, expected false").default(false),
  requires_grad: z.boolean().default(false),
  head_dim: z.int().positive().nullable().default(null),
  precision: z.string().default("torch.float32"),
});

/** A group of `transform_config` as JSON: every key that the reference writes. */
export function transformGroupToJson({ type, apply, headDim }: TransformGroup): Record<string, unknown> {
  return {
    type,
    apply: apply.map(({ targets, location, inverse, ignore }) => ({ targets, location, inverse, ignore })),
    randomize: false,
    requires_grad: false,
    head_dim: headDim,
    precision: "torch.float64",
  };
}

/**
 * Attaches the transforms of a checkpoint that stay at run time to the linears of its model. What was applied to weights needs
 * nothing. Linears whose matrix is not stored under their own name share that of one before them.
 *
 * @throws ConfigError naming a transform whose matrix is not stored, or whose target is no linear
 */
export function attachTransforms(model: Module, groups: readonly TransformGroup[], checkpoint: Checkpoint): void {
  if (groups.length === 0) return;
  const where = checkpoint.pathOf("config.json");
  timeLimited(attachAll, `${where}: the patterns in transform_config`)(model, groups, checkpoint);
}

/** Patterns that a checkpoint brings may backtrack without end. */
function attachAll(model: Module, groups: readonly TransformGroup[], checkpoint: Checkpoint): void {
  for (const group of groups) {
    const matrices = new Map<number, TransformMatrix>();
    for (const { targets, location, inverse, ignore } of group.apply) {
      if (location !== "input" && location !== "output") continue;
      for (const [path, module] of model.namedModules()) {
        if (!matchesAny(targets, path, module) || matchesAny(ignore, path, module)) continue;
        if (!(module instanceof Linear))
          throw new ConfigError(`${path}: has a transform, expected it on linears alone.`);
        const matrix = findMatrix(group, location, { path, linear: module }, matrices, checkpoint);
        attachTransform(module, { group, location, inverse }, matrix);
      }
    }
  }
}

function findMatrix(
  { name, headDim }: TransformGroup,
  location: OnlineLocation,
  { path, linear }: { readonly path: string; readonly linear: Linear },
  matrices: Map<number, TransformMatrix>,
  { tensors }: Checkpoint,
): TransformMatrix {
  const size = headDim ?? (location === "input" ? linear.inFeatures : linear.outFeatures);
  const stored = `${path}.${transformName(name, location)}.weight`;
  const known = matrices.get(size);
  if (known && !tensors.has(stored)) return known;
  if (!tensors.has(stored)) {
    throw new ConfigError(
      `${stored}: not stored, expected the matrix that transform_config names. Get the checkpoint again.`,
    );
  }
  const matrix = new TransformMatrix([size, size]);
  matrices.set(size, matrix);
  return matrix;
}
