import { RecipeError } from "../../errors.ts";
import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { finiteWeight } from "../finite.ts";
import { type PreparedHessian, prepareHessian, warnOfFailures, withoutColumns } from "../hessian.ts";
import type { CompressionStage, FinalizeContext, Modifier, ModifierContext } from "../modifier.ts";
import { bySharedInput } from "../shared-input.ts";
import { type Statistic, secondMoment, type Tap } from "../tap.ts";
import type { OwlSurvey } from "./owl.ts";
import type { PrunedLinear } from "./pruned-linears.ts";
import type { Sparsity } from "./scores.ts";
import { type SparsityOptions, SparsityPlan } from "./sparsity-plan.ts";
import { prune, UNSEEN, warnOfUnseen } from "./wanda.ts";

/** Options of {@link SparseGPTModifier}, beside those that Wanda has too. */
export interface SparseGPTOptions extends SparsityOptions {
  /** Columns whose weights are compared with one another where there is no mask structure. 128. */
  readonly blockSize?: number;
  /** λ: share of the mean of the Hessian's diagonal that is added to it. 0.01. */
  readonly dampeningFrac?: number;
  /** Whether zeros of the weight stay zero and count; without it a pruned weight may be filled again. False. */
  readonly preserveSparsityMask?: boolean;
}

type Target = PrunedLinear & Sparsity;

/** What becomes of a module whose Hessian cannot be factorised. */
const PRUNED_BY_MAGNITUDE = "pruned by magnitude";

/**
 * SparseGPT (arXiv:2301.00774): prunes column by column, moving what each pruned weight did to the columns still to come.
 *
 * With H = 2/n Σ XᵀX of n sequences, damped as in GPTQ, and U the upper Cholesky factor of H⁻¹, a weight's saliency is
 * (w / U_jj)². Without structure a block of columns loses its least salient weights over all rows; with N:M each run of M
 * columns in a row loses N, judged by the weights as they are by then. Zeros that a modifier before it pruned stay. Where H
 * cannot be factorised, or a module saw nothing but zeros, |W| alone decides and nothing is moved, with a warning.
 */
export class SparseGPTModifier implements Modifier {
  readonly name = "SparseGPTModifier";
  readonly requiresCalibrationData = true;
  readonly #plan: SparsityPlan;
  readonly #taps = new Map<Module, Tap>();

  constructor(readonly options: SparseGPTOptions) {
    this.#plan = new SparsityPlan(this.name, options);
    const { blockSize = 128, dampeningFrac = 0.01 } = options;
    if (!(Number.isInteger(blockSize) && blockSize > 0)) throw invalid("block_size", blockSize, "a positive integer");
    if (!(dampeningFrac >= 0)) throw invalid("dampening_frac", dampeningFrac, "a number of at least 0");
    const of = this.#plan.structure?.of ?? 1;
    if (blockSize % of !== 0) throw invalid("block_size", blockSize, `a multiple of ${of}, the M of mask_structure`);
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

  /** XᵀX of the input of each target. */
  taps(module: Module): Tap[] {
    if (!this.#plan.has(module)) return [];
    const tap = { module, reduce: secondMoment };
    this.#taps.set(module, tap);
    return [tap];
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [seen, targets] of bySharedInput(stage, this.#plan.targetsIn(stage), this.#taps))
      await this.#pruneTogether(stage, targets, seen);
  }

  finalize(context: FinalizeContext): void {
    warnOfFailures(context, [...this.targets].length, PRUNED_BY_MAGNITUDE);
  }

  /** Targets that read the same value have one Hessian, which is factorised once. */
  async #pruneTogether(stage: CompressionStage, targets: readonly Target[], seen: Statistic): Promise<void> {
    const start = performance.now();
    const { dampeningFrac = 0.01 } = this.options;
    const hessian = prepareHessian(seen, { dampeningFrac, byImportance: false }, targets[0].path);
    const { dead } = hessian;
    const weights = await Promise.all(
      targets.map(async ({ path, module }) => withoutColumns(finiteWeight(await stage.weight(module), path), dead)),
    );
    const problems = targets.map((target, index) => this.#problem(stage, target, weights[index]));
    const unseen = dead.length === hessian.order.length;
    const results = unseen ? undefined : await stage.kernels.pruneColumns(hessian.values, problems);
    if (!results) return pruneByMagnitude(stage, targets, hessian);
    for (const [index, { path, module }] of targets.entries()) {
      stage.setPruned(module, new Tensor("F32", module.weight.shape, results[index].weight));
      const seconds = (performance.now() - start) / 1000 / targets.length;
      stage.report({ module: path, error: results[index].loss, seconds });
    }
  }

  /** @throws RecipeError if more of the weight is zero, and is to stay so, than is asked for */
  #problem(stage: CompressionStage, { path, module, sparsity, structure }: Target, { data }: Tensor<"F32">) {
    const { blockSize = 128, preserveSparsityMask = false } = this.options;
    const zeros = preserveSparsityMask ? Uint8Array.from(data, (value) => Number(value === 0)) : undefined;
    const share = zeros ? zeros.reduce((sum, mark) => sum + mark, 0) / data.length : 0;
    if (share > sparsity) {
      throw new RecipeError(
        `${path}: ${share} of its weight is zero, expected at most the sparsity of ${sparsity}. ` +
          "Raise it, or leave out preserve_sparsity_mask.",
      );
    }
    return { weight: data, pruned: zeros ?? stage.pruned(module), sparsity, structure, blockSize };
  }
}

/** Prunes targets whose Hessian cannot be factorised; the columns that are always zero first. */
async function pruneByMagnitude(
  stage: CompressionStage,
  targets: readonly Target[],
  { dead, order }: PreparedHessian,
): Promise<void> {
  const unseen = dead.length === order.length;
  if (unseen) warnOfUnseen(stage, targets);
  const norms = new Float32Array(order.length).fill(1);
  for (const column of unseen ? [] : dead) norms[column] = 0;
  for (const target of targets) await prune(stage, target, norms, unseen ? UNSEEN : PRUNED_BY_MAGNITUDE);
}

function invalid(field: string, found: unknown, expected: string): RecipeError {
  return new RecipeError(`SparseGPTModifier.${field}: ${found}, expected ${expected}.`);
}
