import { RecipeError } from "../../errors.ts";
import { type Parameter, type Rewrite, snapshot } from "../../nn/parameter.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { StreamNorm } from "./residual-stream.ts";
import { scaleAxis, sumAxis } from "./rotate-axis.ts";

/**
 * What moves the scale of a norm, and its bias where it has one, into the weights that read it: W diag(g) in place of W, and
 * W b added to their biases; where one of them has no bias, b / g stays in the norm.
 *
 * @returns the new values of all parameters that change; the norm itself ends without a scale
 */
export function fuseNorm(norm: StreamNorm): Map<Parameter, Rewrite> {
  const [scale, bias] = [snapshot(norm.weight), norm.bias && snapshot(norm.bias)];
  const factors = async () => (await scale.load()).data.map((value) => value + norm.offset);
  const rewrites = new Map<Parameter, Rewrite>();
  for (const { weight, axis } of norm.readers)
    rewrites.set(weight, async (value) => scaleAxis(value, axis, await factors()));
  rewrites.set(norm.weight, ({ shape }) => filled(shape, 1 - norm.offset));
  if (!norm.bias || !bias) return rewrites;
  if (norm.readers.some((reader) => !reader.bias)) {
    rewrites.set(norm.bias, async (value) => divided(norm.path, value, await factors()));
    return rewrites;
  }
  rewrites.set(norm.bias, ({ shape }) => filled(shape, 0));
  for (const reader of norm.readers) {
    const weight = snapshot(reader.weight);
    const moved = async () => sumAxis(await weight.load(), reader.axis, (await bias.load()).data);
    if (reader.bias) rewrites.set(reader.bias, async (value) => added(value, await moved()));
  }
  return rewrites;
}

function filled(shape: readonly number[], value: number): Tensor<"F32"> {
  return new Tensor("F32", shape, new Float32Array(shape[0]).fill(value));
}

function added({ data, shape }: Tensor<"F32">, more: Float64Array): Tensor<"F32"> {
  return new Tensor(
    "F32",
    shape,
    data.map((value, index) => value + more[index]),
  );
}

function divided(path: string, { data, shape }: Tensor<"F32">, factors: Float32Array): Tensor<"F32"> {
  const lost = data.findIndex((value, index) => value !== 0 && factors[index] === 0);
  if (lost >= 0) {
    throw new RecipeError(
      `${path}: column ${lost} is scaled by zero and then shifted, expected a scale that can be moved into weights. ` +
        "Leave R1 out of rotations.",
    );
  }
  return new Tensor(
    "F32",
    shape,
    data.map((value, index) => (factors[index] === 0 ? 0 : value / factors[index])),
  );
}
