import type { Node } from "../fx/node.ts";
import { gelu, geluTanh, relu } from "../ops/activation.ts";
import { silu } from "../ops/arithmetic.ts";

/** Activation functions by the names that config.json has for them. */
export const ACTIVATIONS = {
  gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  relu,
  silu,
  swish: silu,
} satisfies Record<string, (x: Node) => Node>;

/** A name in {@link ACTIVATIONS}. */
type ActivationName = keyof typeof ACTIVATIONS;

/** All names in {@link ACTIVATIONS}. */
export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as ActivationName[];
