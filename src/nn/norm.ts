import type { Node } from "../fx/node.ts";
import { rmsNorm } from "../ops/norm.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Root-mean-square norm over the last dimension. */
export class RMSNorm extends Module<void> {
  readonly weight: Parameter;

  constructor(
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = new Parameter([width]);
  }

  forward(x: Node): Node {
    return rmsNorm(x, this.weight, { eps: this.eps });
  }
}
