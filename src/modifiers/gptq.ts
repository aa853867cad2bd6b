import { RecipeError } from "../errors.ts";
import type { ColumnProblem } from "../kernels/column-problem.ts";
import type { Module } from "../nn/module.ts";
import { imatrixMse } from "../observers/mse.ts";
import { type ObserverRegistry, observers } from "../observers/registry.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { codeTypeOf } from "../schemes/code-type.ts";
import type { QParams } from "../schemes/qparams.ts";
import { type QuantizedWeight, quantizeWeight, scalesOf } from "../schemes/quantize.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { type Tiling, tilingOf } from "../schemes/tiling.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ActivationCalibration } from "./activations.ts";
import { type PreparedHessian, prepareHessian, relativeError, warnOfFailures, withoutColumns } from "./hessian.ts";
import type { CompressionStage, FinalizeContext, Modifier, ModifierContext } from "./modifier.ts";
import { targetsIn } from "./quantization.ts";
import { assignSchemes, type QuantizationOptions, resolveSchemes } from "./quantization-options.ts";
import { type Refined, refineRounding } from "./refinement.ts";
import { bySharedInput } from "./shared-input.ts";
import { type Statistic, secondMoment, type Tap } from "./tap.ts";
import { WeightScales, type WeightTarget } from "./weight-scales.ts";

type Actorder = QuantizationArgs["actorder"];

const ROUNDED_TO_NEAREST = "rounded to nearest";
const UNSEEN = "rounded to nearest without any input";

/** Options of {@link GPTQModifier}, beside those of every quantizing modifier. */
export interface GPTQOptions extends QuantizationOptions {
  /** Columns that are rounded before their errors are carried to the rest; changes speed, not the result. 128. */
  readonly blockSize?: number;
  /** λ: share of the mean of the Hessian's diagonal that is added to it. 0.01. */
  readonly dampeningFrac?: number;
  /** Modules that a partition must not cut; better given to the whole run. */
  readonly sequentialTargets?: readonly string[];
  /** Order of the columns: by falling importance ("static", the default, or its synonym "weight"), or their own (null). */
  readonly actorder?: QuantizationArgs["actorder"];
  /** How often codes and scales are gone through again after the loop: see {@link refineRounding}. 0. */
  readonly refinementSweeps?: number;
  /** "best": the options that measured best, each of which may be overruled; see {@link GPTQ_PRESETS}. */
  readonly preset?: keyof typeof GPTQ_PRESETS;
}

/** Options under one name. "best", by measurement: ranges that the Hessian's diagonal weighs (`imatrix_mse`). */
const GPTQ_PRESETS = {
  best: { weightObserver: imatrixMse.name },
} as const;

/**
 * GPTQ (arXiv:2210.17323): rounds a weight column by column, moving each error to the columns still to come.
 *
 * Scales are those of the original weight; the Hessian is 2/n Σ XᵀX of the module's input over n sequences.
 * Where it cannot be factorised, the module is rounded to nearest, with a warning. What a modifier before it pruned stays
 * zero, and the columns still to come make up for that as for any other error.
 */
export class GPTQModifier implements Modifier {
  readonly name = "GPTQModifier";
  readonly requiresCalibrationData = true;
  readonly sequentialTargets?: readonly string[];
  quantization: ModelQuantization = { schemes: new Map(), kvCacheScheme: null };
  readonly #taps = new Map<Module, Tap>();
  #activations?: ActivationCalibration;
  #scales?: WeightScales;
  readonly #refinementSweeps: number;

  /** @param registry - observers that the options may name */
  constructor(
    readonly options: GPTQOptions,
    private readonly registry: ObserverRegistry = observers,
  ) {
    const { blockSize = 128, dampeningFrac = 0.01, refinementSweeps = 0 } = options;
    this.#refinementSweeps = refinementSweeps;
    this.sequentialTargets = options.sequentialTargets;
    if (!(Number.isInteger(blockSize) && blockSize > 0)) throw invalid("block_size", blockSize, "a positive integer");
    if (!(dampeningFrac >= 0)) throw invalid("dampening_frac", dampeningFrac, "a number of at least 0");
    if (!(Number.isInteger(refinementSweeps) && refinementSweeps >= 0))
      throw invalid("refinement_sweeps", refinementSweeps, "an integer of at least 0");
    this.#resolve();
  }

  initialize(model: Module, context: ModifierContext): void {
    this.quantization = assignSchemes(this.name, model, this.#resolve(), this.options, context, this.registry);
    this.#activations = new ActivationCalibration(this.quantization, this.registry);
    this.#scales = new WeightScales(model, this.quantization, this.registry);
  }

  /** XᵀX of the input of each target, summed over all batches, and what the scales of activations need. */
  taps(module: Module): readonly Tap[] {
    const activations = this.#activations?.taps(module) ?? [];
    if (!this.quantization.schemes.get(module)?.weights) return activations;
    const tap: Tap = { module, reduce: secondMoment };
    this.#taps.set(module, tap);
    return [...activations, tap];
  }

  async compress(stage: CompressionStage): Promise<void> {
    this.#activations?.store(stage);
    const targets = bySharedInput(stage, targetsIn(stage, this.quantization), this.#taps);
    for (const [seen, sharing] of targets) await this.#quantizeTogether(stage, sharing, seen);
  }

  finalize(context: FinalizeContext): void {
    warnOfFailures(context, this.quantization.schemes.size, ROUNDED_TO_NEAREST);
  }

  /** Targets that read the same value have one Hessian, which is factorised once. */
  async #quantizeTogether(stage: CompressionStage, targets: readonly WeightTarget[], seen: Statistic): Promise<void> {
    const start = performance.now();
    const [{ path, args: first }] = targets;
    const { dampeningFrac = 0.01 } = this.options;
    const panels = stage.kernels.takeLowerPanels(seen.value.shape[0]);
    const hessian = prepareHessian(seen, { dampeningFrac, byImportance: first.actorder !== null, panels }, path);
    const weights = await Promise.all(targets.map(({ module }) => stage.savedWeight(module)));
    const qparams = await this.#findScales(stage, targets, () => diagonal(seen.value));
    const problems = targets.map(({ args, module }, index) => ({
      ...columnProblem(weights[index], qparams[index], args, hessian),
      pruned: stage.pruned(module),
    }));
    const unseen = hessian.dead.length === hessian.order.length;
    if (unseen) {
      const paths = targets.map(({ path }) => path).join(", ");
      stage.warn(
        `${paths}: no input but zeros in all of the calibration data, expected some; rounded to nearest. ` +
          "Use more samples, or calibrate all experts with all tokens.",
      );
    }
    const rounded = unseen ? undefined : await this.#round(stage, seen, hessian, problems, targets, qparams);
    for (const [index, { path, module, args }] of targets.entries()) {
      const quantized: QuantizedWeight = rounded
        ? {
            ...rounded[index].qparams,
            codes: new Tensor(codeTypeOf(args).dtype, module.weight.shape, rounded[index].codes),
            args,
          }
        : quantizeWeight(withoutColumns(weights[index], unseen ? [] : hessian.dead), qparams[index], args, path);
      const error = rounded?.[index].loss;
      const loss = this.#refinementSweeps > 0 ? undefined : error; // refinement is not of the damped Hessian
      const change = { before: weights[index], after: quantized, loss };
      const errorInDecibels = rounded && (await relativeError(stage, change, seen, hessian));
      stage.setQuantized(module, quantized); // the weight as it was is gone by then
      const seconds = (performance.now() - start) / 1000 / targets.length;
      if (rounded) stage.report({ module: path, seconds, error, errorInDecibels });
      else stage.report({ module: path, seconds, fallback: unseen ? UNSEEN : ROUNDED_TO_NEAREST });
    }
  }

  /** One weight after another: what it takes to look at one is as large as the weight. */
  async #findScales(
    stage: CompressionStage,
    targets: readonly WeightTarget[],
    importance: () => Float32Array,
  ): Promise<QParams[]> {
    const scales = this.#scales as WeightScales;
    const found: QParams[] = [];
    for (const target of targets) found.push(await scales.find(stage, target, importance));
    return found;
  }

  /** The column loop, and the refinement of what it gives. */
  async #round(
    { kernels }: CompressionStage,
    seen: Statistic,
    hessian: PreparedHessian,
    problems: readonly ColumnProblem[],
    targets: readonly WeightTarget[],
    qparams: readonly QParams[],
  ): Promise<Refined[] | undefined> {
    const rounded = await kernels.roundColumns(hessian.values, problems);
    const found = rounded?.map((result, index) => ({ ...result, qparams: qparams[index] }));
    const sweeps = this.#refinementSweeps;
    if (!found || sweeps === 0) return found;
    return Promise.all(
      found.map((result, index) => {
        const rounding = { ...result, problem: problems[index], args: targets[index].args };
        return refineRounding(kernels, seen, hessian, rounding, sweeps);
      }),
    );
  }

  /** The schemes with their activation order settled. */
  #resolve(): QuantizationScheme[] {
    const { preset } = this.options;
    const weightObserver = this.options.weightObserver ?? (preset && GPTQ_PRESETS[preset].weightObserver);
    return resolveSchemes(this.name, { ...this.options, weightObserver }).map((scheme) => {
      const { weights } = scheme;
      if (weights?.type === "float" && this.#refinementSweeps > 0)
        throw invalid("refinement_sweeps", this.#refinementSweeps, "0 for weights that become floats");
      return {
        ...scheme,
        weights: weights && { ...weights, actorder: resolveActorder(this.options.actorder, weights.actorder) },
      };
    });
  }
}

/** The diagonal of a square matrix. */
function diagonal({ data, shape: [columns] }: Tensor<"F32">): Float32Array {
  return Float32Array.from({ length: columns }, (_, i) => data[i * columns + i]);
}

/** The modifier's order, or the scheme's, else static. @throws RecipeError if both are given and differ */
function resolveActorder(ofModifier: Actorder | undefined, ofScheme: Actorder): Actorder {
  if (ofModifier === undefined) return ofScheme ?? "static";
  if (ofScheme !== null && ofScheme !== ofModifier) {
    throw new RecipeError(
      `GPTQModifier: actorder ${ofModifier}, but the scheme says ${ofScheme}, expected one of them or both alike. Remove one.`,
    );
  }
  return ofModifier;
}

/** What the column loop works on: the weight without dead columns, its scales, the order of the columns. */
function columnProblem(
  weight: Tensor<"F32">,
  qparams: QParams,
  args: QuantizationArgs,
  { order, dead }: PreparedHessian,
): ColumnProblem {
  const [rows, columns] = weight.shape;
  const tiling = tilingOf(args, weight.shape);
  return {
    weight: withoutColumns(weight, dead).data,
    scale: perRow(scalesOf(qparams), tiling, rows),
    zeroPoint: qparams.zeroPoint && perRow(qparams.zeroPoint.data, tiling, rows),
    groupOfColumn: Int32Array.from({ length: columns }, (_, column) => Math.floor(column / tiling.columns)),
    order,
    numBits: args.numBits,
    type: args.type,
  };
}

/** The values of each row's own tiles: those of tiles of several rows stand in every one of these. */
function perRow<T extends Float32Array | Int8Array>(values: T, { rows: height, scaleShape }: Tiling, rows: number): T {
  if (height === 1) return values;
  const width = scaleShape.length === 1 ? 1 : scaleShape[1];
  const result = new (values.constructor as new (length: number) => T)(rows * width);
  for (let row = 0; row < rows; row++) {
    const from = Math.floor(row / height) * width;
    result.set(values.subarray(from, from + width), row * width);
  }
  return result;
}

function invalid(field: string, found: unknown, expected: string): RecipeError {
  return new RecipeError(`GPTQModifier.${field}: ${found}, expected ${expected}.`);
}
