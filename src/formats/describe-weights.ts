import type { QuantizationArgs } from "../schemes/arguments.ts";

/** Arguments in a few words: `int4 symmetric, group 128`. */
export function describeWeights({ type, numBits, symmetric, strategy, groupSize }: QuantizationArgs): string {
  const scope = groupSize === null ? strategy : `${strategy} ${groupSize}`;
  return `${type}${numBits} ${symmetric ? "symmetric" : "asymmetric"}, ${scope}`;
}
