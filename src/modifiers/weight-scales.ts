import { CompressionError, RecipeError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { memorylessMinmax } from "../observers/minmax.ts";
import type { Observer } from "../observers/observer.ts";
import { type ObserverRegistry, resolveWeightObserver } from "../observers/registry.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { codeTypeOf } from "../schemes/code-type.ts";
import { computeQParams, globalScaleOf, largestMagnitude, type QParams, type Range } from "../schemes/qparams.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage } from "./modifier.ts";

/** Linears of one parent that runtimes multiply as one, and which therefore share a global scale. */
const FUSED_NAMES: readonly (readonly string[])[] = [
  ["gate_proj", "up_proj"],
  ["q_proj", "k_proj", "v_proj"],
  ["q_a_proj", "kv_a_proj_with_mqa"],
  ["w1", "w3"],
];

/** One weight whose scales are wanted. */
export interface WeightTarget {
  readonly path: string;
  readonly module: Linear;
  readonly args: QuantizationArgs;
}

/** Finds scales of weights, by the observers of their arguments; of fused weights also the global scale that they share. */
export class WeightScales {
  readonly #fused: ReadonlyMap<Linear, readonly WeightTarget[]>;
  readonly #amax = new Map<Linear, number>();

  /** @throws RecipeError for fused weights of which some have a global scale and some have not */
  constructor(
    model: Module,
    quantization: ModelQuantization,
    private readonly observers?: ObserverRegistry,
  ) {
    this.#fused = fusedTargets(model, quantization);
  }

  /**
   * Scale, zero point and global scale of a weight.
   *
   * @param importance - mean square of each column's input, up to a factor, for observers that weigh errors by it
   */
  async find(
    stage: CompressionStage,
    target: WeightTarget,
    importance: (module: Linear) => Float32Array | undefined,
  ): Promise<QParams> {
    const weight = await stage.weight(target.module);
    const range = this.#observe(weight, target, importance);
    const { args, path } = target;
    if (args.strategy !== "tensor_group") return weightQParams(weight, range, args, path);
    this.#amax.set(target.module, largestMagnitude(range));
    const amax = await this.#fusedAmax(stage, target, importance);
    return weightQParams(weight, range, args, path, globalScaleOf(amax, weight.dtype));
  }

  /** The largest magnitude in the ranges of all weights that are fused with one. */
  async #fusedAmax(
    stage: CompressionStage,
    target: WeightTarget,
    importance: (module: Linear) => Float32Array | undefined,
  ): Promise<number> {
    let amax = 0;
    for (const sibling of this.#fused.get(target.module) ?? [target]) {
      const known =
        this.#amax.get(sibling.module) ??
        largestMagnitude(this.#observe(await stage.weight(sibling.module), sibling, importance));
      this.#amax.set(sibling.module, known);
      amax = Math.max(amax, known);
    }
    return amax;
  }

  #observe(
    weight: Tensor<FloatDType>,
    { path, module, args }: WeightTarget,
    importance: (module: Linear) => Float32Array | undefined,
  ): Range {
    const { observer } = resolveWeightObserver(args.observer, this.observers);
    return observeWeight(weight, args, path, observer, observer.needsImportance ? importance(module) : undefined);
  }
}

/**
 * The range of each scale of a weight, as `observer` finds it.
 *
 * @throws CompressionError naming the module and the place if the weight holds NaN or infinity
 */
export function observeWeight(
  weight: Tensor<FloatDType>,
  args: QuantizationArgs,
  path: string,
  observer: Observer = memorylessMinmax,
  importance?: Float32Array,
): Range {
  return observer.observe(weight, args, path, importance);
}

/**
 * Scales and zero points of a weight from the ranges of its scales.
 *
 * @throws CompressionError naming the module if codes could decode to infinity
 */
export function weightQParams(
  { dtype }: Tensor<FloatDType>,
  range: Range,
  args: QuantizationArgs,
  path: string,
  globalScale?: Tensor<"F32">,
): QParams {
  const qparams = computeQParams(range, args, dtype, globalScale);
  const [{ min, max }, round] = [codeTypeOf(args), rounder(dtype)];
  const steps = (args.symmetric ? Math.max(-min, max) : max - min) / (globalScale?.data[0] ?? 1);
  if (toFloat32(qparams.scale).data.every((scale) => Number.isFinite(round(scale * steps)))) return qparams;
  throw new CompressionError(
    `${path}.weight: values so large that their codes decode to infinity in ${dtype}, expected ones nearer to 0. Repair the checkpoint.`,
  );
}

/**
 * For each weight with a global scale, all that share it.
 *
 * @throws RecipeError for fused weights of which some have a global scale and some have not
 */
export function fusedTargets(model: Module, { schemes }: ModelQuantization): Map<Linear, WeightTarget[]> {
  const fused = new Map<Linear, WeightTarget[]>();
  for (const [path, parent] of model.namedModules()) {
    const children = new Map(parent.namedChildren());
    for (const names of FUSED_NAMES) {
      const linears = names.flatMap((name) => children.get(name) ?? []).filter((child) => child instanceof Linear);
      if (linears.length < names.length) continue;
      const shared = linears.flatMap((module, index) => targetOf(`${path}.${names[index]}`, module, schemes));
      if (shared.length > 0 && shared.length < names.length) throw notAlike(path, names);
      for (const { module } of shared) fused.set(module, shared);
    }
  }
  return fused;
}

function targetOf(path: string, module: Linear, schemes: ModelQuantization["schemes"]): WeightTarget[] {
  const args = schemes.get(module)?.weights;
  return args?.strategy === "tensor_group" ? [{ path, module, args }] : [];
}

function notAlike(path: string, names: readonly string[]): RecipeError {
  return new RecipeError(
    `${path}: only some of ${names.join(", ")} have strategy tensor_group, expected all or none, since they share a ` +
      "global scale. Target all of them, or add all to ignore.",
  );
}
