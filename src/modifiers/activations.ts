import { CompressionError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import { chooseRanges, withoutEmpty } from "../observers/combine.ts";
import { type ObserverRegistry, resolveActivationObserver } from "../observers/registry.ts";
import { activationTensors } from "../schemes/activation.ts";
import { computeQParams, globalScaleOf, largestMagnitude } from "../schemes/qparams.ts";
import {
  isCalibrated,
  type ModelQuantization,
  type QuantizedValue,
  quantizedValues,
  roundingOf,
} from "../schemes/quantized-values.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage } from "./modifier.ts";
import { rangeOfSequences, searchOfSequences, type Tap } from "./tap.ts";

/**
 * Finds the scales of inputs, outputs, keys and values that are stored with a checkpoint: every sequence of the calibration
 * data is one observation, seen before anything is quantized. Observers are those of the arguments, `minmax` by default.
 */
export class ActivationCalibration {
  readonly #taps = new Map<Module, ReadonlyMap<QuantizedValue, Tap>>();

  constructor(
    private readonly quantization: ModelQuantization,
    private readonly observers?: ObserverRegistry,
  ) {}

  /** Minimum and maximum of every calibrated value of a module. */
  taps(module: Module): readonly Tap[] {
    const values = quantizedValues(module, this.quantization).filter(isCalibrated);
    const taps = new Map(values.map((value) => [value, this.#tapOf(module, value)]));
    this.#taps.set(module, taps);
    return [...taps.values()];
  }

  /** Stores the scales of the stage's modules. */
  store(stage: CompressionStage): void {
    for (const [path, module] of stage.modules) {
      const taps = this.#taps.get(module) ?? new Map<QuantizedValue, Tap>();
      const tensors = [...taps].flatMap(([value, tap]) => this.#tensorsOf(value, observedOf(stage, tap, path), path));
      if (tensors.length > 0) stage.setTensors(module, new Map(tensors));
    }
  }

  /** Ranges for each head where each has a scale, else of all columns. */
  #tapOf(module: Module, value: QuantizedValue): Tap {
    const rounding = roundingOf(value);
    const search = resolveActivationObserver(value.args.observer, this.observers).search?.(value.args);
    const reduce = search ? searchOfSequences(rounding, search) : rangeOfSequences(rounding.heads);
    return { module, value: value.value, reduce };
  }

  #tensorsOf(value: QuantizedValue, observed: Tensor<"F32">, path: string): [string, Tensor][] {
    const { args } = value;
    const observer = resolveActivationObserver(args.observer, this.observers);
    const search = observer.search?.(args);
    const range = observer.combine(search ? chooseRanges(observed, search) : observed, args);
    const found = args.dynamic === "local" ? {} : computeQParams(range, args, "F32");
    const globalScale = globalScaleOf(largestMagnitude(range), "F32");
    const all = { ...found, globalScale };
    return activationTensors(value, path).map(({ field, kind, shape }) => [
      field,
      (all[kind as keyof typeof all] as Tensor).reshape(shape),
    ]);
  }
}

/** @throws CompressionError naming the module if it saw no token, or values that are not finite */
function observedOf(stage: CompressionStage, tap: Tap, path: string): Tensor<"F32"> {
  const seen = stage.statistic(tap);
  const observed = seen && withoutEmpty(seen.value);
  if (!observed || observed.shape[0] === 0)
    throw new CompressionError(
      `${path}: saw no token of the calibration data, expected some to find a scale. ` +
        "Use more samples, calibrate all experts with all tokens, or add it to ignore.",
    );
  if (!observed.data.every(Number.isFinite))
    throw new CompressionError(
      `${path}: not finite on the calibration data, expected finite numbers. Check the weights before it.`,
    );
  return observed;
}
