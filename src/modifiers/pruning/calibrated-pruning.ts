import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import { finiteWeight } from "../../observers/finite-weight.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CompressionStage, Modifier, ModifierContext } from "../modifier.ts";
import { bySharedInput } from "../shared-input.ts";
import type { Reduction, Statistic, Tap } from "../tap.ts";
import type { PrunedLinear } from "./pruned-linears.ts";
import { pruneByRow, type Sparsity, wandaScores, withZeros } from "./scores.ts";
import { type SparsityOptions, SparsityPlan } from "./sparsity-plan.ts";

/** A linear that is to be pruned, and how much of it. */
export type PruningTarget = PrunedLinear & Sparsity;

/** What becomes of a module whose input was always zero. */
const UNSEEN = "pruned by magnitude without any input";

/** Prunes linears by what calibration data showed of their input: what SparseGPT and Wanda share. */
export abstract class CalibratedPruning<Options extends SparsityOptions> implements Modifier {
  readonly requiresCalibrationData = true;
  protected readonly plan: SparsityPlan;
  readonly #taps = new Map<Module, Tap>();

  /** @param reduce - what to observe of each input */
  constructor(
    readonly name: string,
    readonly options: Options,
    private readonly reduce: Reduction,
  ) {
    this.plan = new SparsityPlan(name, options);
  }

  get targets(): Iterable<Linear> {
    return this.plan.targets;
  }

  get survey(): Modifier | undefined {
    return this.plan.survey;
  }

  initialize(model: Module, context: ModifierContext): void {
    this.plan.initialize(model, context);
  }

  taps(module: Module): Tap[] {
    if (!this.plan.has(module)) return [];
    const tap = { module, reduce: this.reduce };
    this.#taps.set(module, tap);
    return [tap];
  }

  async compress(stage: CompressionStage): Promise<void> {
    const targets = bySharedInput(stage, this.plan.targetsIn(stage), this.#taps);
    for (const [seen, sharing] of targets) await this.pruneTogether(stage, sharing, seen);
  }

  /** Prunes linears that read the same value. */
  protected abstract pruneTogether(
    stage: CompressionStage,
    targets: readonly PruningTarget[],
    seen: Statistic,
  ): Promise<void>;
}

/** Prunes linears by |w| · norm of the column in each row; `fallback` is reported. */
export async function pruneByNorms(
  stage: CompressionStage,
  targets: readonly PruningTarget[],
  norms: Float32Array,
  fallback?: string,
): Promise<void> {
  for (const { path, module, ...sparsity } of targets) {
    const start = performance.now();
    const { data, shape } = finiteWeight(await stage.weight(module), path);
    const pruned = pruneByRow(wandaScores(data, norms), shape[1], sparsity);
    stage.setPruned(module, new Tensor("F32", shape, withZeros(data, pruned)));
    stage.report({ module: path, seconds: (performance.now() - start) / 1000, fallback });
  }
}

/** Prunes linears that read nothing but zeros by |w| alone, and says so. */
export function pruneUnseen(stage: CompressionStage, targets: readonly PruningTarget[]): Promise<void> {
  const paths = targets.map(({ path }) => path).join(", ");
  stage.warn(
    `${paths}: no input but zeros in all of the calibration data, expected some; pruned by magnitude. ` +
      "Use more samples, or calibrate all experts with all tokens.",
  );
  return pruneByNorms(stage, targets, new Float32Array(targets[0].module.inFeatures).fill(1), UNSEEN);
}
