import { CompressionError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { resolveWeightObserver } from "../observers/registry.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { computeQParams, type QParams } from "../schemes/qparams.ts";
import { quantizeWeight } from "../schemes/quantize.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage, Modifier, ModifierContext } from "./modifier.ts";
import { assignSchemes, type QuantizationOptions, resolveSchemes } from "./quantization-options.ts";

/** Rounds every weight to the nearest code, within the range that its observer finds. Needs no data. */
export class QuantizationModifier implements Modifier {
  readonly name = "QuantizationModifier";
  readonly requiresCalibrationData = false;
  schemes: ReadonlyMap<Linear, QuantizationScheme> = new Map();

  constructor(readonly options: QuantizationOptions) {
    resolveSchemes(this.name, options);
  }

  initialize(model: Module, context: ModifierContext): void {
    this.schemes = assignSchemes(this.name, model, resolveSchemes(this.name, this.options), this.options, context);
  }

  /** As in the reference, later subgraphs are run with the weights as they were. */
  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module, args] of targetsIn(stage, this.schemes)) {
      const start = performance.now();
      const weight = await stage.weight(module);
      const quantized = quantizeWeight(weight, observeWeight(weight, args, path), args, path);
      stage.setQuantized(module, quantized, { propagate: false });
      stage.report({ module: path, seconds: (performance.now() - start) / 1000 });
    }
  }
}

/** The modules of a stage that have a scheme for their weights. */
export function* targetsIn(
  stage: CompressionStage,
  schemes: ReadonlyMap<Linear, QuantizationScheme>,
): Generator<[path: string, module: Linear, args: QuantizationArgs]> {
  for (const [path, module] of stage.modules) {
    const args = module instanceof Linear && schemes.get(module)?.weights;
    if (args) yield [path, module as Linear, args];
  }
}

/**
 * Scale and zero point of a weight, from the range that the observer in `args` finds.
 *
 * @throws CompressionError naming the module if the weight holds NaN or infinity, or its codes could decode to infinity
 */
export function observeWeight(weight: Tensor<FloatDType>, args: QuantizationArgs, path: string): QParams {
  const bad = toFloat32(weight).data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const [row, column] = [Math.floor(bad / weight.shape[1]), bad % weight.shape[1]];
    throw new CompressionError(
      `${path}.weight: not finite at row ${row}, column ${column}, expected finite numbers. Repair the checkpoint.`,
    );
  }
  const range = resolveWeightObserver(args.observer).observer.observe(weight, args, path);
  const qparams = computeQParams(range, args, weight.dtype);
  const [round, steps] = [rounder(weight.dtype), largestStep(args)];
  if (toFloat32(qparams.scale).data.every((scale) => Number.isFinite(round(scale * steps)))) return qparams;
  throw new CompressionError(
    `${path}.weight: values so large that their codes decode to infinity in ${weight.dtype}, expected ones nearer to 0. Repair the checkpoint.`,
  );
}

/** The largest distance of a code from its zero point; 1, for the scale alone, where codes are no integers. */
function largestStep({ type, numBits, symmetric }: QuantizationArgs): number {
  if (type !== "int") return 1;
  return symmetric ? 2 ** (numBits - 1) : 2 ** numBits - 1;
}
