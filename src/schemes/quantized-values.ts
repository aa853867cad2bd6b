import { ATTENTION_STATES, Attend, type AttentionState } from "../nn/attend.ts";
import type { Module } from "../nn/module.ts";
import type { ActivationRounding } from "../ops/fake-quantize.ts";
import { isMicroscaling, type QuantizationArgs } from "./arguments.ts";
import type { QuantizationScheme } from "./scheme.ts";

/** What is quantized in a model, and how. */
export interface ModelQuantization {
  /** Schemes of linear modules, and of the {@link Attend} of attention modules. */
  readonly schemes: ReadonlyMap<Module, QuantizationScheme>;
  /** How keys and values are quantized in every attention module that has no scheme of its own. */
  readonly kvCacheScheme: QuantizationArgs | null;
}

/** A value that a module reads or returns, and how it is quantized. */
export interface QuantizedValue {
  /** What names of its tensors begin with: `input` of `input_scale`. */
  readonly name: "input" | "output" | AttentionState;
  readonly args: QuantizationArgs;
  /** Which argument of the module it is, or its output. */
  readonly value: number | "output";
  /** Heads that its columns belong to; 0 where there are none. */
  readonly heads: number;
}

/** The values of a module that are quantized, with scales that are stored or found at run time. */
export function quantizedValues(module: Module, quantization: ModelQuantization): QuantizedValue[] {
  const scheme = quantization.schemes.get(module);
  if (module instanceof Attend) return attentionValues(module, scheme, quantization.kvCacheScheme);
  const { inputActivations: input = null, outputActivations: output = null } = scheme ?? {};
  return [
    ...(input ? [{ name: "input", args: input, value: 0, heads: 0 } as const] : []),
    ...(output ? [{ name: "output", args: output, value: "output", heads: 0 } as const] : []),
  ];
}

/** Queries are quantized where attention itself is targeted, keys and values also where the cache is. */
function attentionValues(
  module: Attend,
  scheme: QuantizationScheme | undefined,
  kvCacheScheme: QuantizationArgs | null,
): QuantizedValue[] {
  const args = scheme?.inputActivations ?? kvCacheScheme;
  if (!args) return [];
  const states = ATTENTION_STATES.map((name, value) => ({ name, args, value, heads: module.headsOf(name) }));
  return scheme ? states : states.slice(1);
}

/** Whether a value's scales are stored: calibration finds them. */
export function isCalibrated({ args }: QuantizedValue): boolean {
  return args.dynamic !== true;
}

/** How a value is rounded at run time, as operators take it. */
export function roundingOf({ args, heads }: QuantizedValue): ActivationRounding {
  const { type, numBits, symmetric, strategy } = args;
  return {
    float: type === "float",
    numBits,
    symmetric,
    groupSize: args.groupSize,
    heads: strategy === "attn_head" ? heads : 1,
    acrossTokens: strategy === "tensor",
    microscaling: isMicroscaling(args),
  };
}
