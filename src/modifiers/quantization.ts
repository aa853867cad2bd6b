import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { type ObserverRegistry, observers, resolveWeightObserver } from "../observers/registry.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { quantizeWeight } from "../schemes/quantize.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { ActivationCalibration } from "./activations.ts";
import type { CompressionStage, Modifier, ModifierContext } from "./modifier.ts";
import {
  assignSchemes,
  type QuantizationOptions,
  resolveKvCacheScheme,
  resolveSchemes,
} from "./quantization-options.ts";
import { neverRun } from "./shared-input.ts";
import { columnEnergy, type Tap } from "./tap.ts";
import { WeightScales, type WeightTarget } from "./weight-scales.ts";

/**
 * Rounds every weight to the nearest code, within the range that its observer finds, and finds the scales of activations
 * that are stored. Needs data only for these, and for observers that weigh errors by a column's input.
 *
 * As in the reference, calibration runs with weights and activations as they were.
 */
export class QuantizationModifier implements Modifier {
  readonly name = "QuantizationModifier";
  readonly requiresCalibrationData: boolean;
  readonly leavesOutputs = true;
  quantization: ModelQuantization = { schemes: new Map(), kvCacheScheme: null };
  readonly #energies = new Map<Linear, Tap>();
  #activations?: ActivationCalibration;
  #scales?: WeightScales;

  /** @param registry - observers that the options may name */
  constructor(
    readonly options: QuantizationOptions,
    private readonly registry: ObserverRegistry = observers,
  ) {
    const schemes = resolveSchemes(this.name, options);
    const kvCache = resolveKvCacheScheme(this.name, options);
    this.requiresCalibrationData = kvCache !== null || schemes.some((scheme) => this.#needsData(scheme));
  }

  initialize(model: Module, context: ModifierContext): void {
    const schemes = resolveSchemes(this.name, this.options);
    this.quantization = assignSchemes(this.name, model, schemes, this.options, context, this.registry);
    this.#activations = new ActivationCalibration(this.quantization, this.registry);
    this.#scales = new WeightScales(model, this.quantization, this.registry);
  }

  taps(module: Module): readonly Tap[] {
    const activations = this.#activations?.taps(module) ?? [];
    const weights = module instanceof Linear ? this.quantization.schemes.get(module)?.weights : null;
    if (!weights || !resolveWeightObserver(weights.observer, this.registry).observer.needsImportance)
      return activations;
    const energy: Tap = { module, reduce: columnEnergy };
    this.#energies.set(module as Linear, energy);
    return [...activations, energy];
  }

  /** As in the reference, later subgraphs are run with the weights as they were. */
  async compress(stage: CompressionStage): Promise<void> {
    this.#activations?.store(stage);
    const targets = [...targetsIn(stage, this.quantization)];
    const importance = new Map(targets.map(({ path, module }) => [module, this.#importanceOf(stage, path, module)]));
    for (const target of targets) {
      const start = performance.now();
      const { path, module, args } = target;
      const qparams = await (this.#scales as WeightScales).find(stage, target, (linear) => importance.get(linear));
      const quantized = quantizeWeight(await stage.weight(module), qparams, args, path);
      stage.setQuantized(module, quantized, { propagate: false });
      stage.report({ module: path, seconds: (performance.now() - start) / 1000 });
    }
  }

  #needsData({ weights, inputActivations, outputActivations }: QuantizationScheme): boolean {
    const stored = [inputActivations, outputActivations].some((args) => args && args.dynamic !== true);
    return (
      stored ||
      (weights !== null && Boolean(resolveWeightObserver(weights.observer, this.registry).observer.needsImportance))
    );
  }

  #importanceOf(stage: CompressionStage, path: string, module: Linear): Float32Array | undefined {
    const tap = this.#energies.get(module);
    if (!tap) return undefined;
    const seen = stage.statistic(tap);
    if (seen) return seen.value.data;
    throw neverRun(path);
  }
}

/** The modules of a stage that have a scheme for their weights. */
export function* targetsIn(stage: CompressionStage, { schemes }: ModelQuantization): Generator<WeightTarget> {
  for (const [path, module] of stage.modules) {
    const args: QuantizationArgs | null | undefined = module instanceof Linear ? schemes.get(module)?.weights : null;
    if (args) yield { path, module: module as Linear, args };
  }
}
