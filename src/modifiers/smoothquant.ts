import { CompressionError, RecipeError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage, CoupledModules, Modifier, ModifierContext } from "./modifier.ts";
import { equalizationFactors, smoothingFactors } from "./smoothing/factors.ts";
import type { Mapping } from "./smoothing/mapping.ts";
import { MappingTaps } from "./smoothing/mapping-taps.ts";
import { moveFactors } from "./smoothing/move-factors.ts";
import { columnRange } from "./smoothing/reductions.ts";
import { coupledModules, resolveMappings } from "./smoothing/resolve-mappings.ts";
import type { Tap } from "./tap.ts";

/** How factors come from ranges: as SmoothQuant's paper has it, or as logarithmic equalization. */
export type SmoothingAlgorithm = "smoothquant" | "log_equalization";

/** Options of {@link SmoothQuantModifier}. */
export interface SmoothQuantOptions {
  /** α: how much of the range of activations is moved into weights, from 0 to 1. 0.5. */
  readonly smoothingStrength?: number;
  /** Patterns of linears, and of the norm that they read. By default, every norm that nothing but linears reads. */
  readonly mappings?: readonly (readonly [balanceLayers: readonly string[], smoothLayer: string])[];
  /** Modules to leave as they are; a mapping is skipped where its norm and all of its linears are among them. */
  readonly ignore?: readonly string[];
  /** "smoothquant". */
  readonly algorithm?: SmoothingAlgorithm;
}

/**
 * SmoothQuant (arXiv:2211.10438): moves the ranges of a norm's columns into the weights of the linears that read it, so that
 * activations are easier to quantize. With a_j = max x_j − min x_j over the calibration data and w_j = 2 max |W_·j| over all of
 * the linears, column j of the norm is divided and of the weights multiplied by s_j = max(a_j^α / w_j^(1−α), 1e-5); by
 * max(a_j, 1e-5) where w_j is 0. `algorithm: log_equalization` (arXiv:2308.15987) takes s_j = a_j / log2(2 + a_j) instead.
 *
 * The mappings come from a trace of the model, or from the recipe. What a norm's router reads stays as it is by default, as in
 * the reference. A modifier that comes later sees the smoothed weights and activations.
 */
export class SmoothQuantModifier implements Modifier {
  readonly name: string = "SmoothQuantModifier";
  readonly requiresCalibrationData = true;
  coupled: readonly CoupledModules[] = [];
  #taps = new MappingTaps([], columnRange);

  constructor(readonly options: SmoothQuantOptions = {}) {
    const { smoothingStrength: strength = 0.5 } = options;
    if (!(strength >= 0 && strength <= 1)) {
      throw new RecipeError(`SmoothQuantModifier.smoothing_strength: ${strength}, expected a number from 0 to 1.`);
    }
  }

  initialize(model: Module, context: ModifierContext): void {
    const given = this.options.mappings?.map(([balanceLayers, smoothLayer]) => ({ balanceLayers, smoothLayer }));
    const found = resolveMappings(model, { modifier: this.name, given, isDefault: isNormOfLinears }, context);
    const mappings = found.filter((mapping) => !this.#isIgnored(mapping, context));
    this.#taps = new MappingTaps(mappings, columnRange);
    this.coupled = coupledModules(mappings);
  }

  /** The range of each column of what a mapping's linears read. */
  taps(module: Module): readonly Tap[] {
    return this.#taps.of(module);
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [mapping, seen] of this.#taps.seenIn(stage)) {
      const start = performance.now();
      await moveFactors(stage, mapping, await this.#factors(stage, mapping, seen.value));
      stage.report({ module: mapping.path, seconds: (performance.now() - start) / 1000 });
    }
  }

  async #factors(stage: CompressionStage, { path, balanced }: Mapping, range: Tensor<"F32">): Promise<Float64Array> {
    const columns = range.shape[1];
    const activations = Float64Array.from({ length: columns }, (_, j) => range.data[columns + j] - range.data[j]);
    if (!activations.every(Number.isFinite)) {
      throw new CompressionError(
        `${path}: its output is not finite on the calibration data, expected finite numbers. Check the weights before it.`,
      );
    }
    const { algorithm = "smoothquant", smoothingStrength = 0.5 } = this.options;
    if (algorithm === "log_equalization") return equalizationFactors(activations);
    const weights = await Promise.all(balanced.map(({ weight }) => stage.parameter(weight)));
    return smoothingFactors(activations, weights, smoothingStrength);
  }

  #isIgnored({ path, module, balanced }: Mapping, { warn }: ModifierContext): boolean {
    const { ignore = [] } = this.options;
    const modules = [{ path, module }, ...balanced];
    const isIgnored = modules.every((member) => matchesAny(ignore, member.path, member.module));
    if (isIgnored) warn(`${this.name}: ${path} is left as it is, as all of its mapping is ignored.`);
    return isIgnored;
  }
}

/** The mappings that SmoothQuant takes by itself: norms that nothing but linears reads, no router. */
function isNormOfLinears({ parameters, balanced }: Mapping): boolean {
  return (
    parameters.every(({ parameter }) => parameter.shape.length === 1) &&
    balanced.every(({ module }) => module instanceof Linear)
  );
}
