import type { Node } from "../fx/node.ts";
import { affine } from "../ops/affine.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/**
 * y = x W + b, with W of shape [inFeatures, outFeatures]: GPT-2's linear. No reader of compressed-tensors takes it
 * quantized, so it is no Linear and recipes that target those leave it as it is.
 */
export class Conv1D extends Module<void> {
  /** [inFeatures, outFeatures]. */
  readonly weight: Parameter;
  /** [outFeatures]. */
  readonly bias: Parameter;

  constructor(inFeatures: number, outFeatures: number) {
    super();
    this.weight = new Parameter([inFeatures, outFeatures]);
    this.bias = new Parameter([outFeatures]);
  }

  forward(x: Node): Node {
    return affine(x, this.weight, this.bias);
  }
}
