import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import { finiteWeight } from "../../observers/finite-weight.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CompressionStage, Modifier } from "../modifier.ts";
import { type PruningTargets, prunedLinears } from "./pruned-linears.ts";

/** Magnitudes up to this are zeros, as in the reference. */
const EPSILON = 1e-8;

/**
 * Constant masks: the zeros that the weights have when they come to this modifier, |w| ≤ 1e-8, stay zero through all
 * modifiers after it. For checkpoints that were pruned before.
 */
export class ConstantPruningModifier implements Modifier {
  readonly name = "ConstantPruningModifier";
  readonly requiresCalibrationData = false;
  targets: ReadonlySet<Linear> = new Set();

  constructor(readonly options: PruningTargets) {}

  initialize(model: Module): void {
    const linears = prunedLinears(this.name, model, this.options).flat();
    this.targets = new Set(linears.map(({ module }) => module));
  }

  /** A weight without zeros is left alone. */
  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      if (!this.targets.has(module as Linear)) continue;
      const { data, shape } = finiteWeight(await stage.weight(module as Linear), path);
      const masked = data.map((value) => (Math.abs(value) > EPSILON ? value : 0));
      if (masked.includes(0)) stage.setPruned(module as Linear, new Tensor("F32", shape, masked));
    }
  }
}
