import type { Node } from "../fx/node.ts";
import { add } from "../ops/arithmetic.ts";
import { linear } from "../ops/linear.ts";
import { addRouted, gatherRouted, routedTo, routeTokens, shareOfRouted, zerosLike } from "../ops/routing.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** The part of a layer that treats each token by itself: [..., hidden] to [..., hidden]. */
export type FeedForward = Module & { forward(x: Node): Node };

/** How tokens are sent to experts. */
export interface RoutingConfig {
  readonly hidden_size: number;
  /** Experts of the layer. */
  readonly experts: number;
  /** Experts of each token. */
  readonly topK: number;
  /** Whether the weights of a token's experts are made to add up to 1. */
  readonly normalize: boolean;
}

/** Chooses the experts of each token. It is no Linear: recipes that target those leave it as it is. */
export class Router extends Module<RoutingConfig> {
  /** [experts, hidden_size]. */
  readonly weight = new Parameter([this.config.experts, this.config.hidden_size]);
  /** Leaves experts out, where there is one. */
  mask?: RouterMask;

  /** A pair of weights F32[batch, seq, topK] and indices of experts I64[batch, seq, topK]. */
  forward(x: Node): Node {
    const logits = linear(x, this.weight);
    return routeTokens(this.mask ? this.mask.call(logits) : logits, this.config);
  }
}

/** Adds a number to each expert's logit: at first 0. With a large negative one, the expert is as good as not there. */
export class RouterMask extends Module<{ readonly experts: number }> {
  readonly weight = new Parameter([this.config.experts]);

  constructor(experts: number) {
    super({ experts });
    const read = async () => Tensor.zeros("F32", [experts]);
    this.weight.source = { name: "mask", dtype: "F32", shape: [experts], read, isDerived: true };
  }

  forward(logits: Node): Node {
    return add(logits, this.weight);
  }
}

/** Where it can be observed how much an expert adds: ‖what it makes of a token‖₂ times the token's weight for it, [n, 1]. */
export class ExpertShare extends Module<void> {
  forward(made: Node, weights: Node, routed: Node): Node {
    return shareOfRouted(made, weights, routed);
  }
}

/**
 * Mixture of experts: for each token, the weighted sum of what its experts make of it.
 *
 * An expert is run on the tokens that are routed to it, of which there may be none; what observes it sees these. With
 * `calibrateAllExperts` it is run on all tokens, and so is what observes it; the sum is the same.
 */
export abstract class SparseMoeBlock<Config = unknown> extends Module<Config> {
  /** Chooses the experts of each token. */
  abstract readonly gate: Router;
  /** In the order in which the router numbers them. */
  abstract readonly experts: readonly FeedForward[];
  /** Whether every expert sees all tokens, not only those that are routed to it. */
  calibrateAllExperts = false;
  /** One for each expert, where what they add is to be observed. */
  shares: readonly ExpertShare[] = [];

  forward(x: Node): Node {
    const [weights, chosen] = this.gate.call(x);
    let sum = zerosLike(x); // [batch, seq, hidden]
    for (const [expert, module] of this.experts.entries()) {
      const routed = routedTo(chosen, { expert });
      const made = this.#run(module, x, routed);
      this.shares[expert]?.call(made, weights, routed);
      sum = addRouted(sum, made, weights, routed);
    }
    return sum;
  }

  /** What an expert makes of the tokens that are routed to it: [n, hidden]. */
  #run(expert: FeedForward, x: Node, routed: Node): Node {
    return this.calibrateAllExperts ? gatherRouted(expert.call(x), routed) : expert.call(gatherRouted(x, routed));
  }
}

/** Lets every expert below `model` see all tokens, where it is observed: see {@link SparseMoeBlock}. */
export function calibrateAllExperts(model: Module): void {
  for (const [, module] of model.namedModules())
    if (module instanceof SparseMoeBlock) module.calibrateAllExperts = true;
}
