import type { Node } from "../fx/node.ts";
import type { Constant, ForwardParameter } from "../fx/traceable.ts";
import type { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { Parameter } from "../nn/parameter.ts";

/** A model that predicts the next token. What the pipeline and the evaluation need of any family. */
export abstract class CausalLM<Config = unknown> extends Module<Config> {
  /** Classes that a partition must not cut through: the default sequential targets, one for each decoder layer. */
  abstract readonly noSplitModules: readonly string[];

  /** What checkpoints that were saved without the last projection leave out of the other names: `transformer.` in GPT-2's. */
  readonly optionalPrefix?: string;

  /** The last projection, from hidden states to logits. */
  abstract readonly lm_head: Linear;

  /** Whether {@link untie} has given the last projection a weight of its own. */
  isUntied = false;

  override readonly forwardParameters: readonly ForwardParameter[] = [
    { name: "input_ids" },
    { name: "attention_mask", default: null },
    { name: "position_ids", default: null },
    { name: "use_cache", default: null },
  ];

  /**
   * @param inputIds - I64[batch, seq]
   * @param attentionMask - I64[batch, seq], 0 at padding; null where there is none
   * @param positionIds - I64[1 or batch, seq]; null for 0, 1, …
   * @returns logits: F32[batch, seq, vocabulary]
   */
  abstract override forward(
    inputIds: Node,
    attentionMask: Node | null,
    positionIds: Node | null,
    useCache: Constant,
  ): { logits: Node };

  /** Gives the last projection a weight of its own, with the same values, if it shares the embedding's. */
  untie(): void {
    const { weight } = this.lm_head;
    const owners = this.namedModules().filter(([, module]) => module.ownParameters().some(([, own]) => own === weight));
    const path = owners.find(([, module]) => module === this.lm_head)?.[0];
    if (owners.length < 2 || path === undefined) return;
    this.lm_head.weight = new Parameter(weight.shape);
    if (weight.source) this.lm_head.weight.source = { ...weight.source, name: `${path}.weight`, isDerived: true };
    this.isUntied = true;
  }
}
