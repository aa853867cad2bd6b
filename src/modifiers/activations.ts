import { CompressionError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import { type ObserverRegistry, resolveActivationObserver } from "../observers/registry.ts";
import { activationTensors } from "../schemes/activation.ts";
import { computeQParams, globalScaleOf, largestMagnitudes } from "../schemes/qparams.ts";
import {
  isCalibrated,
  type ModelQuantization,
  type QuantizedValue,
  quantizedValues,
} from "../schemes/quantized-values.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage } from "./modifier.ts";
import { rangeOfSequences, type Statistic, type Tap } from "./tap.ts";

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
    const taps = new Map(values.map((value) => [value, tapOf(module, value)]));
    this.#taps.set(module, taps);
    return [...taps.values()];
  }

  /** Stores the scales of the stage's modules. */
  store(stage: CompressionStage): void {
    for (const [path, module] of stage.modules) {
      const taps = this.#taps.get(module) ?? new Map<QuantizedValue, Tap>();
      const tensors = [...taps].flatMap(([value, tap]) => this.#tensorsOf(value, expectSeen(stage, tap, path), path));
      if (tensors.length > 0) stage.setTensors(module, new Map(tensors));
    }
  }

  #tensorsOf(value: QuantizedValue, { value: observed }: Statistic, path: string): [string, Tensor][] {
    const { args } = value;
    const range = resolveActivationObserver(args.observer, this.observers).combine(observed, args);
    const found = args.dynamic === "local" ? {} : computeQParams(range, args, "F32");
    const globalScale = globalScaleOf(Math.max(...largestMagnitudes(range).data), "F32");
    const all = { ...found, globalScale };
    return activationTensors(value, path).map(({ field, kind, shape }) => [
      field,
      (all[kind as keyof typeof all] as Tensor).reshape(shape),
    ]);
  }
}

/** A scale for each head, for groups of columns below one global scale, or for all columns. */
function tapOf(module: Module, { args, value, heads }: QuantizedValue): Tap {
  const groups = args.strategy === "attn_head" ? heads : 1;
  return { module, value, reduce: rangeOfSequences(groups) };
}

function expectSeen(stage: CompressionStage, tap: Tap, path: string): Statistic {
  const seen = stage.statistic(tap);
  if (seen) return seen;
  throw new CompressionError(`${path}: never run on the calibration data, expected some input. Add it to ignore.`);
}
