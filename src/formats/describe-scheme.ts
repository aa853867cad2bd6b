import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";

/** Arguments of weights in a few words: `int4 symmetric, group 128`. */
export function describeWeights({ type, numBits, symmetric, ...rest }: QuantizationArgs): string {
  return `${type}${numBits} ${symmetric ? "symmetric" : "asymmetric"}, ${describeScope(rest)}`;
}

/** Arguments of an activation in a few words: `int8 symmetric, token, dynamic`. */
export function describeActivations(args: QuantizationArgs): string {
  const scales = { true: "dynamic", false: "static", local: "dynamic below a static scale" }[`${args.dynamic}`];
  return `${describeWeights(args)}, ${scales}`;
}

/** What a scheme does: to weights, and to inputs and outputs where they are quantized. */
export function describeScheme({ weights, inputActivations, outputActivations }: QuantizationScheme): string {
  return [
    weights ? describeWeights(weights) : "as they are",
    ...(inputActivations ? [`inputs ${describeActivations(inputActivations)}`] : []),
    ...(outputActivations ? [`outputs ${describeActivations(outputActivations)}`] : []),
  ].join("; ");
}

function describeScope({
  strategy,
  groupSize,
  blockStructure,
}: Pick<QuantizationArgs, "strategy" | "groupSize" | "blockStructure">): string {
  const size = groupSize ?? blockStructure?.join("x");
  return size === undefined ? strategy : `${strategy} ${size}`;
}
