import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TensorSpec } from "../checkpoint/layout.ts";
import { CheckpointError } from "../errors.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Buffer, type Parameter } from "../nn/parameter.ts";
import { type ActivationTensor, activationTensors } from "../schemes/activation.ts";
import { type ModelQuantization, quantizedValues } from "../schemes/quantized-values.ts";
import { isFloatDType } from "../tensor/convert.ts";
import type { DType, FloatDType } from "../tensor/dtype.ts";
import { withoutPrefix } from "./bind-checkpoint.ts";
import { compressedTensorNames, ownerOf } from "./checkpoint-quantization.ts";
import type { Format } from "./format.ts";
import { formatOf } from "./registry.ts";

/** The dtype to save in: each tensor's own ("auto"), or one for all that are floating-point. */
export type Precision = "auto" | FloatDType;

/** What the output will hold, known before anything is computed. */
export interface OutputPlan {
  /** Every tensor with its name, dtype and shape. */
  readonly tensors: readonly TensorSpec[];
  /** How each quantized weight is stored. */
  readonly quantized: ReadonlyMap<Linear, { readonly path: string; readonly format: Format }>;
  /** The tensors beside weights, such as `input_scale`, by module and by name below it. */
  readonly activations: ReadonlyMap<Module, ReadonlyMap<string, TensorSpec>>;
  /** Parameters that are saved dense, by name in the checkpoint. */
  readonly dense: ReadonlyMap<string, Parameter>;
  /** Tensors that the model does not use; they are carried over. */
  readonly surplus: readonly string[];
  /** Whether an lm_head that shared the embedding's weight gets one of its own. */
  readonly unties: boolean;
}

/**
 * Plans the output of a model whose modules are quantized by `schemes`.
 *
 * @param original - the model as the checkpoint has it: what the other lacks of it is not carried over
 * @throws CheckpointError if the checkpoint has a tensor of a name that a compressed weight takes
 */
export function planOutput(
  model: Module,
  checkpoint: Checkpoint,
  quantization: ModelQuantization,
  precision: Precision = "auto",
  original: Module = model,
): OutputPlan {
  const { quantized, dense, replaced } = placeParameters(model, quantization);
  const activations = planActivations(model, quantization, precision);
  const surplus = surplusOf(checkpoint, [
    ...dense.keys(),
    ...[...quantized.values()].map(({ path }) => `${path}.weight`),
    ...namesIn([...replaced]),
    ...compressedTensorNames(original, checkpoint),
    ...(original === model ? [] : namesIn(original.namedParameters().map(([, parameter]) => parameter))),
  ]);
  const paths = new Set([...quantized.values()].map(({ path }) => path));
  for (const name of surplus) checkFree(name, paths);
  const tensors = [
    ...[...quantized].flatMap(([module, { path, format }]) => {
      const args = quantization.schemes.get(module)?.weights;
      return args ? format.tensors(path, module.weight.shape, savedDType(module.weight, precision), args) : [];
    }),
    ...[...activations.values()].flatMap((specs) => [...specs.values()]),
    ...[...dense].map(([name, parameter]) => denseSpec(name, parameter, precision)),
    ...surplus.map((name) => checkpoint.tensors.get(name) as TensorSpec),
  ];
  const isUntied = model instanceof CausalLM && model.isUntied;
  const unties = isUntied || [...replaced].some((parameter) => [...dense.values()].includes(parameter));
  return { tensors, quantized, activations, dense, surplus, unties };
}

/** Which weights are written compressed, and which parameters as they are, by the names that they are stored under. */
function placeParameters(model: Module, { schemes }: ModelQuantization) {
  const quantized = new Map<Linear, { path: string; format: Format }>();
  const dense = new Map<string, Parameter>();
  const replaced = new Set<Parameter>();
  for (const [path, module] of model.namedModules()) {
    const scheme = schemes.get(module);
    for (const [field, parameter] of module.ownParameters()) {
      const name = `${path}.${field}`;
      if (module instanceof Linear && scheme?.weights && field === "weight") {
        quantized.set(module, { path, format: formatOf(scheme, path) });
        replaced.add(parameter);
      } else if (!(parameter instanceof Buffer) && parameter.source) {
        const stored = parameter.source.name; // a tied weight has the name that it is first met at
        if (stored === name || stored === withoutPrefix(model, name)) dense.set(stored, parameter);
      }
    }
  }
  return { quantized, dense, replaced };
}

/** The names that parameters are stored under. */
function namesIn(parameters: readonly Parameter[]): string[] {
  return parameters.flatMap(({ source }) => (source ? [source.name] : []));
}

/** The checkpoint's tensors but those of `known` names. */
function surplusOf({ tensors }: Checkpoint, known: readonly string[]): string[] {
  const names = new Set(known);
  return [...tensors.keys()].filter((name) => !names.has(name));
}

/** The tensors of calibrated activations, in the dtype of the module's weights, global scales in F32. */
function planActivations(
  model: Module,
  quantization: ModelQuantization,
  precision: Precision,
): Map<Module, Map<string, TensorSpec>> {
  const planned = new Map<Module, Map<string, TensorSpec>>();
  for (const [path, module] of model.namedModules()) {
    const owner = ownerOf(model, path, module);
    const [weight] = owner.module.namedParameters().map(([, parameter]) => parameter);
    const tensors = quantizedValues(module, quantization).flatMap((value) => activationTensors(value, path));
    const specs = tensors.map(
      ({ field, kind, shape }) =>
        [field, { name: `${owner.path}.${field}`, dtype: activationDType(kind, weight, precision), shape }] as const,
    );
    if (specs.length > 0) planned.set(module, new Map(specs));
  }
  return planned;
}

function activationDType(kind: ActivationTensor["kind"], weight: Parameter, precision: Precision): DType {
  if (kind === "globalScale") return "F32";
  return kind === "zeroPoint" ? "I8" : savedDType(weight, precision);
}

/** A tensor carried over must not be read as a part of a weight that gets compressed, such as `q_proj.weight_g_idx`. */
function checkFree(name: string, quantized: ReadonlySet<string>): void {
  const [module] = name.split(/\.(?=weight_[^.]*$)/);
  if (!quantized.has(module) || module === name) return;
  throw new CheckpointError(
    `${name}: in the checkpoint already, expected it free for the compressed weight. Remove the tensor, or ignore ${module}.`,
  );
}

/** The dtype that a float parameter is saved in. */
export function savedDType(parameter: Parameter, precision: Precision): FloatDType {
  const dtype = precision === "auto" ? (parameter.source?.dtype ?? "F32") : precision;
  return isFloatDType(dtype) ? dtype : "F32";
}

/** The dtype that any parameter is saved in: other than weights', it is its own. */
export function plannedDType(parameter: Parameter, precision: Precision): DType {
  const stored: DType = parameter.source?.dtype ?? "F32";
  return isFloatDType(stored) ? savedDType(parameter, precision) : stored;
}

function denseSpec(name: string, parameter: Parameter, precision: Precision): TensorSpec {
  return { name, dtype: plannedDType(parameter, precision), shape: parameter.shape };
}
