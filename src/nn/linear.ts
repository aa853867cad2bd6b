import type { Node } from "../fx/node.ts";
import type { Argument, Output } from "../fx/traceable.ts";
import { scale } from "../ops/arithmetic.ts";
import { embedding, linear, linearBias } from "../ops/linear.ts";
import { Module } from "./module.ts";
import { throughTransforms } from "./online-transform.ts";
import { Parameter } from "./parameter.ts";

/** y = x Wᵀ + b, with W of shape [outFeatures, inFeatures]. */
export class Linear extends Module<void> {
  /** [outFeatures, inFeatures]. */
  weight: Parameter;
  /** [outFeatures]. */
  readonly bias?: Parameter;
  /** Simulates the rounding of a quantized input; set where a checkpoint asks for it. */
  quantizeInput?: (x: Node) => Node;
  /** Simulates the rounding of a quantized output; set where a checkpoint asks for it. */
  quantizeOutput?: (y: Node) => Node;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    { bias = false } = {},
  ) {
    super();
    this.weight = new Parameter([outFeatures, inFeatures]);
    if (bias) this.bias = new Parameter([outFeatures]);
  }

  /** Transforms stand outside of all else: what observes or rounds an input gets the transformed one. */
  override runForward([x]: readonly Argument[]): Output {
    const output = super.runForward([throughTransforms(this, "input", x as Node)]);
    return throughTransforms(this, "output", output as Node);
  }

  forward(x: Node): Node {
    const input = this.quantizeInput?.(x) ?? x;
    const output = this.bias ? linearBias(input, this.weight, this.bias) : linear(input, this.weight);
    return this.quantizeOutput?.(output) ?? output;
  }
}

/** Rows of a table by token id. */
export class Embedding extends Module<void> {
  /** [entries, width]. */
  readonly weight: Parameter;

  constructor(entries: number, width: number) {
    super();
    this.weight = new Parameter([entries, width]);
  }

  forward(ids: Node): Node {
    return embedding(ids, this.weight); // [batch, seq, width]
  }
}

/** Rows of a table by token id, times a factor. */
export class ScaledEmbedding extends Embedding {
  constructor(
    entries: number,
    width: number,
    readonly factor: number,
  ) {
    super(entries, width);
  }

  override forward(ids: Node): Node {
    return scale(super.forward(ids), { factor: this.factor });
  }
}
