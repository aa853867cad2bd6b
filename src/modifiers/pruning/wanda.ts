import { expectFiniteInput } from "../finite.ts";
import type { CompressionStage } from "../modifier.ts";
import { columnEnergy, type Statistic } from "../tap.ts";
import { CalibratedPruning, type PruningTarget, pruneByNorms, pruneUnseen } from "./calibrated-pruning.ts";
import { columnNorms } from "./scores.ts";
import type { SparsityOptions } from "./sparsity-plan.ts";

/**
 * Wanda (arXiv:2306.11695): a weight scores |W[o, i]| · √S_i, where S_i is Σ x_i² of the calibration data over the number
 * of sequences; in every row the smallest scores become zero, N of every M or ⌊columns · sparsity⌋, of equal ones the
 * first. The other weights stay as they are. Where a module saw nothing but zeros, |W| alone decides, with a warning.
 */
export class WandaPruningModifier extends CalibratedPruning<SparsityOptions> {
  constructor(options: SparsityOptions) {
    super("WandaPruningModifier", options, columnEnergy);
  }

  protected async pruneTogether(
    stage: CompressionStage,
    targets: readonly PruningTarget[],
    { value, sequences }: Statistic,
  ): Promise<void> {
    expectFiniteInput(value.data, targets[0].path);
    const norms = columnNorms(value.data, sequences);
    if (norms.every((norm) => norm === 0)) return pruneUnseen(stage, targets);
    return pruneByNorms(stage, targets, norms);
  }
}
