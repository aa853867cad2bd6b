import { CompressionError, RecipeError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import { difference } from "../tensor/difference.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { mergeQuantization } from "./initialize.ts";
import type {
  CompressionStage,
  CoupledModules,
  Modifier,
  ModifierContext,
  ParameterChanges,
  Replay,
} from "./modifier.ts";
import {
  type DuoScaling,
  factorsAt,
  gridPoints,
  quantizeScaled,
  type WeightToQuantize,
  weightMeans,
} from "./smoothing/grid.ts";
import { describeMapping, type Mapping } from "./smoothing/mapping.ts";
import { MappingTaps } from "./smoothing/mapping-taps.ts";
import { moveFactors } from "./smoothing/move-factors.ts";
import { race } from "./smoothing/race.ts";
import { columnMagnitudes } from "./smoothing/reductions.ts";
import { coupledModules, type MappingPatterns, resolveMappings } from "./smoothing/resolve-mappings.ts";
import { secondMoment, type Tap } from "./tap.ts";
import { fusedTargets, type WeightTarget } from "./weight-scales.ts";

type LinearToQuantize = WeightToQuantize & { readonly module: Linear };

/** Options of {@link AWQModifier}. */
export interface AWQOptions {
  /** Which linears read which norm or linear: see {@link MappingPatterns}. By default, all that a trace of the model finds. */
  readonly mappings?: readonly MappingPatterns[];
  /** Whether the magnitudes of weights count beside those of activations; "both" tries each ratio with and without. True. */
  readonly duoScaling?: DuoScaling;
  /** Factors that are tried for each mapping. 20. */
  readonly nGrid?: number;
}

/**
 * AWQ (arXiv:2306.00978): scales columns of weights that see large activations up before they are rounded, so that these lose
 * less, and divides what they read by the same factors.
 *
 * For every mapping it tries `nGrid` factors s = x^r / w^(1−r) (see {@link factorsAt}), with x_j = mean |x_j| over the calibration
 * data and w_j the mean magnitude of column j relative to its group, and takes those with the least error: the mean squared
 * difference of the output of the module that holds all of the mapping's linears, with each weight W as Q(W s) / s, from its output
 * with the weights as they are. Ranges for Q are minima and maxima, whatever the later modifier takes. As in llm-compressor
 * there is no search for clipped ranges: `mse` observers are for that.
 *
 * It rounds nothing itself: a quantizing modifier must come later in the recipe. Linears which that leaves alone are scaled, but
 * count as exact; a mapping of such linears only is left out. In a mixture of experts, the router is scaled too.
 */
export class AWQModifier implements Modifier {
  readonly name = "AWQModifier";
  readonly requiresCalibrationData = true;
  coupled: readonly CoupledModules[] = [];
  units: readonly string[] = [];
  #mappings: readonly Mapping[] = [];
  #later: readonly Modifier[] = [];
  #quantization: ModelQuantization = { schemes: new Map(), kvCacheScheme: null };
  /** For each weight with a global scale, all that share it. */
  #fused: ReadonlyMap<Linear, readonly WeightTarget[]> = new Map();
  #modules: ReadonlyMap<string, Module> = new Map();
  #taps?: MappingTaps;
  #moments?: MappingTaps;

  constructor(readonly options: AWQOptions = {}) {
    const { nGrid = 20 } = options;
    if (!(Number.isInteger(nGrid) && nGrid >= 4)) {
      throw new RecipeError(`AWQModifier.n_grid: ${nGrid}, expected an integer of at least 4.`);
    }
  }

  initialize(model: Module, context: ModifierContext): void {
    this.#later = (context.later ?? []).filter(({ quantization }) => quantization);
    if (this.#later.length === 0) {
      throw new RecipeError(
        `${this.name}: no quantizing modifier after it, expected one. Add a QuantizationModifier, or give it a scheme.`,
      );
    }
    const options = { modifier: this.name, given: this.options.mappings, isDefault: () => true };
    this.#mappings = resolveMappings(model, options, context);
    this.#modules = new Map(model.namedModules());
    this.coupled = coupledModules(this.#mappings);
    this.units = this.#mappings.filter((mapping) => !hasOneLinear(mapping)).map((mapping) => this.#parentOf(mapping));
  }

  /** Learns how the modifiers after it quantize. @throws RecipeError if `duoScaling` does not fit that */
  settle(model: Module): void {
    this.#quantization = mergeQuantization(this.#later);
    this.#fused = fusedTargets(model, this.#quantization);
    const weights = this.#mappings.flatMap(({ balanced }) => balanced);
    const whole = weights.find(({ module }) => this.#argsOf(module)?.strategy === "tensor");
    if (!whole || !(this.options.duoScaling ?? true)) return;
    throw new RecipeError(
      `${this.name}: ${whole.path} has one scale for its whole weight, expected several. Set duo_scaling to false.`,
    );
  }

  /**
   * Mean magnitude of each column of what a mapping's linears read, where one of these gets quantized; where there is one alone,
   * XᵀX too.
   */
  taps(module: Module): readonly Tap[] {
    const mappings = this.#mappings.filter(({ balanced }) => balanced.some((weight) => this.#argsOf(weight.module)));
    this.#taps ??= new MappingTaps(mappings, columnMagnitudes);
    this.#moments ??= new MappingTaps(mappings.filter(hasOneLinear), secondMoment);
    return [...this.#taps.of(module), ...this.#moments.of(module)];
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [mapping, seen] of this.#taps?.seenIn(stage) ?? []) {
      const start = performance.now();
      const means = columnMeans(seen.value);
      if (means) await moveFactors(stage, mapping, await this.#search(stage, mapping, means));
      else
        stage.warn(`${describeMapping(mapping)}: no token in all of the calibration data, expected some; left as is.`);
      stage.report({ module: mapping.path, seconds: (performance.now() - start) / 1000 });
    }
  }

  /** The factors with the least error. */
  async #search(stage: CompressionStage, mapping: Mapping, activations: Float64Array): Promise<Float64Array> {
    const { duoScaling = true, nGrid = 20 } = this.options;
    const weights = await this.#weightsToQuantize(stage, mapping);
    const means = duoScaling ? weightMeans(weights) : activations;
    const candidates = gridPoints(duoScaling, nGrid).map((point) => factorsAt(point, activations, means));
    const fused = this.#bySharedScale(weights);
    const quantized = (candidate: number): ParameterChanges =>
      new Map(
        fused.flatMap((group) => {
          const rounded = quantizeScaled(group, candidates[candidate]);
          return group.map(({ module }, index) => [module.weight, rounded[index]] as const);
        }),
      );
    const moment = this.#moments?.seen(stage, mapping);
    const best = moment
      ? await this.#raceOnMoment(stage, candidates.length, weights[0].values, moment.value, quantized)
      : await this.#raceOnReplay(
          await stage.replay(this.#modules.get(this.#parentOf(mapping)) as Module),
          candidates.length,
          quantized,
        );
    if (best !== undefined) return candidates[best];
    throw new CompressionError(
      `${describeMapping(mapping)}: no finite error for any factors, expected some. Check the weights and the data.`,
    );
  }

  /** Where a mapping has one linear, its output's error follows from XᵀX of its input. */
  #raceOnMoment(
    { kernels }: CompressionStage,
    candidates: number,
    weight: Tensor<"F32">,
    moment: Tensor<"F32">,
    quantized: (candidate: number) => ParameterChanges,
  ): Promise<number | undefined> {
    return race(candidates, 1, (candidate) => () => {
      const [changed] = quantized(candidate).values();
      return kernels.quadraticForm(difference(weight, changed), moment);
    });
  }

  async #raceOnReplay(
    replay: Replay,
    candidates: number,
    quantized: (candidate: number) => ParameterChanges,
  ): Promise<number | undefined> {
    try {
      return await race(candidates, replay.batches, (candidate) => {
        const changes = quantized(candidate);
        return (batch) => replay.error(changes, batch);
      });
    } finally {
      await replay.close();
    }
  }

  async #weightsToQuantize(stage: CompressionStage, { balanced }: Mapping): Promise<LinearToQuantize[]> {
    const weights: LinearToQuantize[] = [];
    for (const { path, module } of balanced) {
      const args = this.#argsOf(module);
      if (!args || !(module instanceof Linear)) continue;
      const { dtype } = await stage.weight(module);
      weights.push({ module, path, args, dtype, values: await stage.parameter(module.weight) });
    }
    return weights;
  }

  /** Weights that share a global scale together, each other one alone. */
  #bySharedScale(weights: readonly LinearToQuantize[]): LinearToQuantize[][] {
    const groups = new Map<Linear, LinearToQuantize[]>();
    for (const weight of weights) {
      const [first] = this.#fused.get(weight.module) ?? [weight];
      groups.set(first.module, [...(groups.get(first.module) ?? []), weight]);
    }
    return [...groups.values()];
  }

  /** Path of the module that holds all of a mapping's linears, or of the linear itself where there is one. */
  #parentOf({ balanced }: Mapping): string {
    const [first, ...others] = balanced.map(({ path }) => path.split("."));
    let length = first.length;
    while (others.some((other) => String(other.slice(0, length)) !== String(first.slice(0, length)))) length--;
    for (; length > 0; length--) {
      const path = first.slice(0, length).join(".");
      if (this.#modules.has(path)) return path;
    }
    throw new CompressionError(`${balanced[0].path}: no module holds it and the others of its mapping, expected one.`);
  }

  #argsOf(module: Module): QuantizationArgs | null | undefined {
    return this.#quantization.schemes.get(module)?.weights;
  }
}

function hasOneLinear({ balanced }: Mapping): boolean {
  return balanced.length === 1 && balanced[0].module instanceof Linear;
}

/** Mean |x| of each column from sums and their count; undefined where nothing was seen. */
function columnMeans(total: Tensor<"F32">): Float64Array | undefined {
  const count = total.data.at(-1);
  return count ? Float64Array.from(total.data.subarray(0, -1), (sum) => sum / count) : undefined;
}
