import type { Node } from "../fx/node.ts";
import { layerNorm, offsetRmsNorm, rmsNorm } from "../ops/norm.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Root-mean-square norm over the last dimension. */
export class RMSNorm extends Module<void> {
  /** [width]. */
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

/** Root-mean-square norm that scales by 1 + weight. */
export class OffsetRMSNorm extends RMSNorm {
  override forward(x: Node): Node {
    return offsetRmsNorm(x, this.weight, { eps: this.eps });
  }
}

/** Norm to mean 0 and variance 1 over the last dimension. */
export class LayerNorm extends Module<void> {
  /** [width]. */
  readonly weight: Parameter;
  /** [width]. */
  readonly bias: Parameter;

  constructor(
    width: number,
    readonly eps: number,
  ) {
    super();
    this.weight = new Parameter([width]);
    this.bias = new Parameter([width]);
  }

  forward(x: Node): Node {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps });
  }
}
