import { RecipeError } from "../../errors.ts";
import type { PruningProblem } from "../../kernels/prune-columns.ts";
import { finiteWeight } from "../../observers/finite-weight.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { prepareHessian, relativeError, warnOfFailures, withoutColumns } from "../hessian.ts";
import type { CompressionStage, FinalizeContext } from "../modifier.ts";
import { type Statistic, secondMoment } from "../tap.ts";
import { CalibratedPruning, type PruningTarget, pruneByNorms, pruneUnseen } from "./calibrated-pruning.ts";
import type { SparsityOptions } from "./sparsity-plan.ts";

/** Options of {@link SparseGPTModifier}, beside those that Wanda has too. */
export interface SparseGPTOptions extends SparsityOptions {
  /** Columns whose weights are compared with one another where there is no mask structure. 128. */
  readonly blockSize?: number;
  /** λ: share of the mean of the Hessian's diagonal that is added to it. 0.01. */
  readonly dampeningFrac?: number;
  /** Whether zeros of the weight stay zero and count; without it a pruned weight may be filled again. False. */
  readonly preserveSparsityMask?: boolean;
}

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
export class SparseGPTModifier extends CalibratedPruning<SparseGPTOptions> {
  constructor(options: SparseGPTOptions) {
    super("SparseGPTModifier", options, secondMoment);
    const { blockSize = 128, dampeningFrac = 0.01 } = options;
    if (!(Number.isInteger(blockSize) && blockSize > 0)) throw invalid("block_size", blockSize, "a positive integer");
    if (!(dampeningFrac >= 0)) throw invalid("dampening_frac", dampeningFrac, "a number of at least 0");
    const of = this.plan.structure?.of ?? 1;
    if (blockSize % of !== 0) throw invalid("block_size", blockSize, `a multiple of ${of}, the M of mask_structure`);
  }

  finalize(context: FinalizeContext): void {
    warnOfFailures(context, [...this.targets].length, PRUNED_BY_MAGNITUDE);
  }

  /** Their Hessian is factorised once. */
  protected async pruneTogether(
    stage: CompressionStage,
    targets: readonly PruningTarget[],
    seen: Statistic,
  ): Promise<void> {
    const start = performance.now();
    const { dampeningFrac = 0.01 } = this.options;
    const panels = stage.kernels.takeLowerPanels(seen.value.shape[0]);
    const hessian = prepareHessian(seen, { dampeningFrac, byImportance: false, panels }, targets[0].path);
    const { dead, order } = hessian;
    if (dead.length === order.length) return pruneUnseen(stage, targets);
    const weights = await Promise.all(
      targets.map(async ({ path, module }) => withoutColumns(finiteWeight(await stage.weight(module), path), dead)),
    );
    const problems = targets.map((target, index) => this.#problem(stage, target, weights[index]));
    const results = await stage.kernels.pruneColumns(hessian.values, problems);
    if (!results) {
      const norms = new Float32Array(order.length).fill(1);
      for (const column of dead) norms[column] = 0;
      return pruneByNorms(stage, targets, norms, PRUNED_BY_MAGNITUDE);
    }
    for (const [index, { path, module }] of targets.entries()) {
      const { weight, loss: error } = results[index];
      const after = new Tensor("F32", module.weight.shape, weight);
      const change = { before: weights[index], after, loss: error };
      const errorInDecibels = await relativeError(stage, change, seen, hessian);
      stage.setPruned(module, after);
      const seconds = (performance.now() - start) / 1000 / targets.length;
      stage.report({ module: path, error, errorInDecibels, seconds });
    }
  }

  /** @throws RecipeError if more of the weight is zero, and is to stay so, than is asked for */
  #problem(
    stage: CompressionStage,
    { path, module, sparsity, structure }: PruningTarget,
    { data }: Tensor<"F32">,
  ): PruningProblem {
    const { blockSize = 128, preserveSparsityMask = false } = this.options;
    const zeros = preserveSparsityMask ? Uint8Array.from(data, (value) => Number(value === 0)) : undefined;
    const share = zeros ? zeros.reduce((sum, mark) => sum + mark, 0) / data.length : 0;
    if (share > sparsity) {
      throw new RecipeError(
        `${path}: ${share.toFixed(4)} of its weight is zero, expected at most the sparsity of ${sparsity}. ` +
          "Raise it, or leave out preserve_sparsity_mask.",
      );
    }
    return { weight: data, pruned: zeros ?? stage.pruned(module), sparsity, structure, blockSize };
  }
}

function invalid(field: string, found: unknown, expected: string): RecipeError {
  return new RecipeError(`SparseGPTModifier.${field}: ${found}, expected ${expected}.`);
}
