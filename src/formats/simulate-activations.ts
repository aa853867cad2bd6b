import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CheckpointError } from "../errors.ts";
import type { Node } from "../fx/node.ts";
import { Attend, type AttentionState } from "../nn/attend.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Parameter } from "../nn/parameter.ts";
import { quantizeDynamic, quantizeLocal, quantizeStatic, quantizeStaticShifted } from "../ops/fake-quantize.ts";
import { activationTensors } from "../schemes/activation.ts";
import { type QuantizedValue, quantizedValues, roundingOf } from "../schemes/quantized-values.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { checkpointQuantization, ownerOf } from "./checkpoint-quantization.ts";

/** Rounds a value as a runtime does before it multiplies. */
type Rounding = (x: Node) => Node;

/**
 * Makes the modules of a model round what a checkpoint's `quantization_config` says is quantized at run time: inputs,
 * outputs, and what attention reads. Static scales become parameters of the modules.
 *
 * @throws CheckpointError naming a scale that the checkpoint lacks
 */
export function simulateActivations(model: Module, checkpoint: Checkpoint): void {
  const quantization = checkpointQuantization(model, checkpoint);
  for (const [path, module] of model.namedModules()) {
    const values = quantizedValues(module, quantization);
    if (values.length === 0) continue;
    const owner = ownerOf(model, path, module).path;
    const roundings = new Map(values.map((value) => [value.name, simulate(value, module, owner, checkpoint)]));
    if (module instanceof Attend) {
      module.quantizeState = (state, which: AttentionState) => roundings.get(which)?.(state) ?? state;
    } else {
      const linear = module as Linear;
      linear.quantizeInput = roundings.get("input");
      linear.quantizeOutput = roundings.get("output");
    }
  }
}

function simulate(value: QuantizedValue, module: Module, owner: string, checkpoint: Checkpoint): Rounding {
  const attrs = { ...roundingOf(value) };
  const tensors = activationTensors(value, owner).map(({ field, shape }) => {
    const parameter = boundParameter(`${owner}.${field}`, shape, checkpoint);
    Object.assign(module, { [field]: parameter }); // a field, so that a trace finds it
    return parameter;
  });
  const [first, second] = tensors;
  if (!first) return (x) => quantizeDynamic(x, attrs);
  if (value.args.dynamic === "local") return (x) => quantizeLocal(x, first, attrs);
  return second ? (x) => quantizeStaticShifted(x, first, second, attrs) : (x) => quantizeStatic(x, first, attrs);
}

function boundParameter(name: string, shape: readonly number[], checkpoint: Checkpoint): Parameter {
  const info = checkpoint.tensors.get(name);
  if (!info || String(info.shape) !== String(shape)) {
    const found = info ? `shape [${info.shape.join(", ")}]` : "missing";
    throw new CheckpointError(`${name}: ${found}, expected [${shape.join(", ")}], as quantization_config says.`);
  }
  const parameter = new Parameter(shape);
  parameter.source = { name, dtype: info.dtype, shape, read: async () => toFloat(await checkpoint.read(name)) };
  return parameter;
}

/** A scale or a zero point as graphs take it. */
function toFloat(tensor: Tensor): Tensor<"F32"> {
  return tensor.is("I8") ? new Tensor("F32", tensor.shape, Float32Array.from(tensor.data)) : toFloat32(tensor);
}
