import type { Node } from "../fx/node.ts";
import { mergeHeads, splitHeads } from "../ops/heads.ts";
import { rotate } from "../ops/rotary.ts";
import { Attend } from "./attend.ts";
import { Module } from "./module.ts";
import type { RMSNorm } from "./norm.ts";

/** What attention needs of a model's configuration. */
export interface AttentionConfig {
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
}

/** Queries, keys and values, each [batch, seq, its heads · head_dim], not yet rotated. */
export type Projected = readonly [q: Node, k: Node, v: Node];

/** Masked self-attention between the projections that a family gives; several heads may share a key/value head (arXiv:2305.13245). */
export abstract class SelfAttention<Config extends AttentionConfig = AttentionConfig> extends Module<Config> {
  readonly attend = new Attend({
    heads: this.config.num_attention_heads,
    kvHeads: this.config.num_key_value_heads,
    ...this.scores(),
  });

  /** @param rotaryTable - the angles to rotate queries and keys by; none where positions are in the embeddings */
  forward(x: Node, mask: Node | null, rotaryTable?: Node): Node {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads } = this.config;
    const [q, k, v] = this.project(x);
    const angles = rotaryTable && ([...rotaryTable] as [cos: Node, sin: Node]);
    const turned = (value: Node, heads: number) => (angles ? rotate(value, ...angles, { heads }) : value);
    return this.projectOut(this.attend.call(turned(q, heads), turned(k, kvHeads), v, mask));
  }

  protected abstract project(x: Node): Projected;

  /** The last projection: [batch, seq, heads · head_dim] to [batch, seq, hidden]. */
  protected abstract projectOut(x: Node): Node;

  /** Factor on the scores, and where they are capped before the mask. */
  protected scores(): { scale: number; softCap?: number } {
    return { scale: this.config.head_dim ** -0.5 };
  }
}

/** Norms each head of x [batch, seq, heads · size] by itself. */
export function normHeads(x: Node, norm: RMSNorm, heads: number): Node {
  return mergeHeads(norm.call(splitHeads(x, { heads })));
}
