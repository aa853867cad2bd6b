import { RecipeError } from "../errors.ts";
import type { QuantizedValue } from "./quantized-values.ts";

/** One of the tensors that are stored for a calibrated value. */
export interface ActivationTensor {
  /** Name below the module, such as `input_scale`. */
  readonly field: string;
  readonly kind: "scale" | "zeroPoint" | "globalScale";
  readonly shape: readonly number[];
}

/**
 * The tensors that are stored for a value: none where scales are found at run time.
 *
 * @throws RecipeError for a strategy that has no static scales; `where` names the module
 */
export function activationTensors({ name, args, heads }: QuantizedValue, where: string): ActivationTensor[] {
  if (args.dynamic === true) return [];
  if (args.dynamic === "local") return [{ field: `${name}_global_scale`, kind: "globalScale", shape: [1] }];
  const shapes: Readonly<Record<string, readonly number[]>> = {
    tensor: [1],
    ...(heads > 0 && { attn_head: [heads, 1, 1] }),
  };
  const shape = shapes[args.strategy];
  if (!shape) {
    throw new RecipeError(
      `${where}: ${name} with strategy ${args.strategy} and dynamic false, expected ${Object.keys(shapes).join(" or ")}. Or set dynamic: true.`,
    );
  }
  const scale: ActivationTensor = { field: `${name}_scale`, kind: "scale", shape };
  return args.symmetric ? [scale] : [scale, { field: `${name}_zero_point`, kind: "zeroPoint", shape }];
}
