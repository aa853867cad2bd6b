import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { expectFiniteInput, finiteWeight } from "../finite.ts";
import type { CompressionStage, Modifier, ModifierContext } from "../modifier.ts";
import { bySharedInput } from "../shared-input.ts";
import { columnEnergy, type Tap } from "../tap.ts";
import type { OwlSurvey } from "./owl.ts";
import type { PrunedLinear } from "./pruned-linears.ts";
import { columnNorms, pruneByRow, type Sparsity, wandaScores, withZeros } from "./scores.ts";
import { type SparsityOptions, SparsityPlan } from "./sparsity-plan.ts";

/**
 * Wanda (arXiv:2306.11695): a weight scores |W[o, i]| · √S_i, where S_i is Σ x_i² of the calibration data over the number
 * of sequences; in every row the smallest scores become zero, N of every M or ⌊columns · sparsity⌋, of equal ones the
 * first. The other weights stay as they are. Where a module saw nothing but zeros, |W| alone decides, with a warning.
 */
export class WandaPruningModifier implements Modifier {
  readonly name = "WandaPruningModifier";
  readonly requiresCalibrationData = true;
  readonly #plan: SparsityPlan;
  readonly #taps = new Map<Module, Tap>();

  constructor(readonly options: SparsityOptions) {
    this.#plan = new SparsityPlan(this.name, options);
  }

  get targets(): Iterable<Linear> {
    return this.#plan.targets;
  }

  get survey(): OwlSurvey | undefined {
    return this.#plan.survey;
  }

  initialize(model: Module, context: ModifierContext): void {
    this.#plan.initialize(model, context);
  }

  /** Σ x² of the input of each target. */
  taps(module: Module): Tap[] {
    if (!this.#plan.has(module)) return [];
    const tap = { module, reduce: columnEnergy };
    this.#taps.set(module, tap);
    return [tap];
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [seen, targets] of bySharedInput(stage, this.#plan.targetsIn(stage), this.#taps)) {
      expectFiniteInput(seen.value.data, targets[0].path);
      const norms = columnNorms(seen.value.data, seen.sequences);
      const unseen = norms.every((norm) => norm === 0);
      if (unseen) warnOfUnseen(stage, targets);
      for (const target of targets)
        await prune(stage, target, unseen ? norms.fill(1) : norms, unseen ? UNSEEN : undefined);
    }
  }
}

/** What becomes of a module whose input was always zero. */
export const UNSEEN = "pruned by magnitude without any input";

/** Says that targets are pruned by the size of their weights alone. */
export function warnOfUnseen(stage: CompressionStage, targets: readonly PrunedLinear[]): void {
  const paths = targets.map(({ path }) => path).join(", ");
  stage.warn(
    `${paths}: no input but zeros in all of the calibration data, expected some; pruned by magnitude. ` +
      "Use more samples, or calibrate all experts with all tokens.",
  );
}

/** Prunes one linear by |w| · norm of its column; `fallback` is reported. */
export async function prune(
  stage: CompressionStage,
  { path, module, ...sparsity }: PrunedLinear & Sparsity,
  norms: Float32Array,
  fallback?: string,
): Promise<void> {
  const start = performance.now();
  const { data, shape } = finiteWeight(await stage.weight(module), path);
  const pruned = pruneByRow(wandaScores(data, norms), shape[1], sparsity);
  stage.setPruned(module, new Tensor("F32", shape, withZeros(data, pruned)));
  stage.report({ module: path, seconds: (performance.now() - start) / 1000, fallback });
}
