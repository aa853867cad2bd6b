import { ConfigError } from "../../errors.ts";
import type { GgufTensor } from "../../gguf/layout.ts";
import { isExpert } from "../../gguf/tensor-names.ts";
import type { PlannedTensor } from "./plan.ts";

/** The matrices of a layer's experts, one after the other: [experts, rows, columns]. */
export interface StackedTensor extends GgufTensor {
  readonly experts: readonly PlannedTensor[];
}

/**
 * The tensors of a file, from what becomes of each parameter: those of one name, which are experts', become one.
 *
 * @throws ConfigError where experts of a layer have different types: one tensor has one
 */
export function stackExperts(planned: readonly PlannedTensor[]): (PlannedTensor | StackedTensor)[] {
  const byName = new Map<string, PlannedTensor[]>();
  for (const tensor of planned) byName.set(tensor.name, [...(byName.get(tensor.name) ?? []), tensor]);
  return [...byName].map(([name, tensors]) => (isExpert(tensors[0].path) ? stack(name, tensors) : tensors[0]));
}

function stack(name: string, experts: readonly PlannedTensor[]): StackedTensor {
  const [{ type, shape, path }] = experts;
  const other = experts.find((expert) => expert.type !== type);
  if (other) {
    throw new ConfigError(
      `${other.path}: ${other.type} beside ${path} of ${type}, expected one type for all experts of a layer. Quantize them alike.`,
    );
  }
  return { name, type, shape: [experts.length, ...shape], experts };
}
