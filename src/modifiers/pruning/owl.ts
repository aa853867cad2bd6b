import { CausalLM } from "../../models/causal-lm.ts";
import type { Linear } from "../../nn/linear.ts";
import { matchModules } from "../../nn/match.ts";
import type { Module } from "../../nn/module.ts";
import { finiteWeight } from "../../observers/finite-weight.ts";
import type { CompressionStage, Modifier } from "../modifier.ts";
import { bySharedInput } from "../shared-input.ts";
import { columnEnergy, type Tap } from "../tap.ts";
import type { PrunedLinear } from "./pruned-linears.ts";
import { columnNorms, wandaScores } from "./scores.ts";

/** What OWL is told. */
interface OwlOptions {
  /** The mean over layers. */
  readonly sparsity: number;
  /** M: a score of more than M times the layer's mean is an outlier. */
  readonly outlierFactor: number;
  /** λ: the sparsities of all layers lie within 2λ of each other. */
  readonly spread: number;
}

interface Layer {
  readonly linears: readonly PrunedLinear[];
  outliers?: number;
}

/**
 * Outlier weighed layerwise sparsity (OWL, arXiv:2310.05175): decoder layers with more outliers keep more weights.
 *
 * A weight scores |w| · ‖x‖ as in Wanda, x what its column reads in the dense model; a layer's outlier ratio is the
 * percentage of its scores above M times their mean; see {@link owlSparsities} for what follows. Linears outside of the
 * decoder layers get the mean.
 */
export class OwlSurvey implements Modifier {
  readonly name = "OWL";
  readonly requiresCalibrationData = true;
  readonly leavesOutputs = true;
  readonly #taps = new Map<Module, Tap>();
  readonly #norms = new Map<Linear, Float32Array>();
  readonly #layers = new Map<Linear, Layer>();

  constructor(readonly options: OwlOptions) {}

  initialize(): void {}

  /** Takes the linears that are to be pruned. */
  prepare(model: Module, linears: readonly PrunedLinear[]): void {
    const layers = model instanceof CausalLM ? [...matchModules(model, model.noSplitModules)] : [];
    for (const layer of layers) {
      const below = new Set(layer.namedModules().map(([, module]) => module));
      const inside = { linears: linears.filter(({ module }) => below.has(module)) };
      for (const { module } of inside.linears) this.#layers.set(module, inside);
    }
  }

  /** Σ x² of the input of each linear. */
  taps(module: Module): Tap[] {
    if (!this.#layers.has(module as Linear)) return [];
    const tap = { module, reduce: columnEnergy };
    this.#taps.set(module, tap);
    return [tap];
  }

  /** Counts the outliers of each layer once all of its linears were seen. */
  async compress(stage: CompressionStage): Promise<void> {
    const targets = [...this.#layers.values()].flatMap(({ linears }) => linears);
    const here = new Set(stage.modules.map(([, module]) => module));
    const seen = targets.filter(({ module }) => here.has(module) && !this.#norms.has(module));
    for (const [{ value, sequences }, sharing] of bySharedInput(stage, new Set(seen), this.#taps)) {
      const norms = columnNorms(value.data, sequences);
      for (const { module } of sharing) this.#norms.set(module, norms);
    }
    for (const layer of new Set(this.#layers.values())) {
      if (layer.outliers !== undefined || layer.linears.some(({ module }) => !this.#norms.has(module))) continue;
      layer.outliers = await outlierRatio(() => this.#scores(stage, layer), this.options.outlierFactor);
    }
  }

  /** The share of a linear's weights to prune; undefined outside of the decoder layers. Known after the survey. */
  sparsityOf(module: Linear): number | undefined {
    const layers = [...new Set(this.#layers.values())];
    const sparsities = owlSparsities(
      layers.map(({ outliers }) => outliers as number),
      this.options,
    );
    return sparsities[layers.indexOf(this.#layers.get(module) as Layer)];
  }

  async *#scores(stage: CompressionStage, { linears }: Layer): AsyncGenerator<Float32Array> {
    for (const { path, module } of linears) {
      const weight = finiteWeight(await stage.weight(module), path);
      yield wandaScores(weight.data, this.#norms.get(module) as Float32Array);
    }
  }
}

/** 100 times the share of all scores that lie above `factor` times their mean; `scores` is gone through twice. */
export async function outlierRatio(scores: () => AsyncIterable<Float32Array>, factor: number): Promise<number> {
  let [sum, count, outliers] = [0, 0, 0];
  for await (const part of scores()) {
    for (const score of part) sum += score;
    count += part.length;
  }
  const threshold = (factor * sum) / count;
  for await (const part of scores()) for (const score of part) if (score > threshold) outliers++;
  return (100 * outliers) / count;
}

/**
 * The sparsity of each layer: outlier ratios are brought linearly to the range from 0 to 2λ, and each layer's sparsity is
 * the mean sparsity less what its ratio is above the mean ratio. Where all ratios are equal, all sparsities are.
 */
export function owlSparsities(
  ratios: readonly number[],
  { sparsity, spread }: Pick<OwlOptions, "sparsity" | "spread">,
): number[] {
  const [lowest, highest] = [Math.min(...ratios), Math.max(...ratios)];
  const scaled = ratios.map((ratio) => (highest > lowest ? ((ratio - lowest) / (highest - lowest)) * 2 * spread : 0));
  const mean = scaled.reduce((sum, ratio) => sum + ratio, 0) / scaled.length;
  return scaled.map((ratio) => sparsity - (ratio - mean));
}
