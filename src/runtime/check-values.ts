import { ExecutionError } from "../errors.ts";
import type { Node } from "../fx/node.ts";
import { type Dim, formatType, type TensorType, tensorTypes, type ValueType } from "../fx/types.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What flows between graphs: a tensor, or the tensors of a tuple. */
export type Value = Tensor | readonly Tensor[];

/** Sizes of the dimensions that have a name. */
export type Sizes = ReadonlyMap<string, number>;

/**
 * Checks that there is a value of the right type for each placeholder, and no other; a dimension with a name has one size
 * in all of them.
 *
 * @returns these sizes
 */
export function checkInputs(placeholders: readonly Node[], inputs: Readonly<Record<string, Value>>): Sizes {
  const names = placeholders.map((node) => node.name);
  const surplus = Object.keys(inputs).filter((name) => !names.includes(name));
  if (surplus.length > 0) throw new ExecutionError(`inputs: ${surplus.join(", ")}, expected only ${names.join(", ")}.`);
  let sizes: Sizes = new Map();
  for (const { name, type } of placeholders) {
    const tensors = [inputs[name] ?? []].flat() as Tensor[];
    const grown = match(tensors, type, sizes);
    if (!grown) {
      const found = tensors.map(formatType).join(", ") || "nothing";
      throw new ExecutionError(`input ${name}: ${found}, expected ${formatType(type)}${formatSizes(type, sizes)}.`);
    }
    sizes = grown;
  }
  return sizes;
}

/** Checks what an opaque function returned against the type that it declared. */
export function checkResult({ targetName, type }: Node, result: Tensor): void {
  if (match([result], type, new Map())) return;
  throw new ExecutionError(
    `${targetName}: returned ${formatType(result)}, expected ${formatType(type)} as it declares.`,
  );
}

/** The sizes, with those that the tensors add to them; undefined where the tensors are not of the type. */
function match(tensors: readonly Tensor[], type: ValueType, sizes: Sizes): Sizes | undefined {
  const types = tensorTypes(type);
  const grown = new Map(sizes);
  const fit = tensors.length === types.length && tensors.every((tensor, index) => fits(tensor, types[index], grown));
  return fit ? grown : undefined;
}

function fits(tensor: Tensor, type: TensorType, sizes: Map<string, number>): boolean {
  const sameSize = (dim: Dim, size: number) => {
    if (typeof dim === "number") return dim === size;
    const known = sizes.get(dim) ?? size;
    sizes.set(dim, known);
    return known === size;
  };
  return (
    tensor.dtype === type.dtype &&
    tensor.shape.length === type.shape.length &&
    type.shape.every((dim, axis) => sameSize(dim, tensor.shape[axis]))
  );
}

/** Those of the sizes that the type names: ` where batch = 2, seq = 5`. */
function formatSizes(type: ValueType, sizes: Sizes): string {
  const named = [...sizes].filter(([dim]) => tensorTypes(type).some(({ shape }) => shape.includes(dim)));
  return named.length === 0 ? "" : ` where ${named.map(([dim, size]) => `${dim} = ${size}`).join(", ")}`;
}
