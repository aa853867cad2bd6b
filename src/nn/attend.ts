import type { Node } from "../fx/node.ts";
import { attention, causalAttention, causalMask, onesLike } from "../ops/attention.ts";
import { Module } from "./module.ts";

/** Heads of an attention, and what scores are multiplied with. */
export interface AttendConfig {
  /** Heads of queries. */
  readonly heads: number;
  /** Heads of keys and values, each shared by `heads / kvHeads` queries. */
  readonly kvHeads: number;
  /** What scores are multiplied with, such as 1 / √head_dim. */
  readonly scale: number;
  /** Where scores are capped before the mask. */
  readonly softCap?: number;
}

/** Queries, keys or values, as attention reads them: after rotation, before the product. */
export type AttentionState = "q" | "k" | "v";

/** The states in the order in which {@link Attend} takes them. */
export const ATTENTION_STATES: readonly AttentionState[] = ["q", "k", "v"];

/**
 * Softmax(q kᵀ · scale) v. A module of its own, so that what attention reads can be observed and quantized: a cache of keys
 * and values holds just that.
 */
export class Attend extends Module<AttendConfig> {
  /** Simulates the rounding of a quantized state; set where a checkpoint asks for it. */
  quantizeState?: (state: Node, which: AttentionState) => Node;

  /** q is [batch, seq, heads · size], k and v are [batch, seq, kvHeads · size]; the result is like q. `mask` is null where none is needed. */
  forward(q: Node, k: Node, v: Node, mask: Node | null): Node {
    const [query, key, value] = [q, k, v].map(
      (state, index) => this.quantizeState?.(state, ATTENTION_STATES[index]) ?? state,
    );
    const { config } = this;
    return mask ? attention(query, key, value, mask, { ...config }) : causalAttention(query, key, value, { ...config });
  }

  /** Heads of a state. */
  headsOf(which: AttentionState): number {
    return which === "q" ? this.config.heads : this.config.kvHeads;
  }
}

/** The part of an attention module whose inputs a scheme on it quantizes. */
export function attendOf(module: Module): Attend | undefined {
  return [...module.namedChildren()].map(([, child]) => child).find((child) => child instanceof Attend);
}

/** The mask of a layer that sees the last `window` tokens; null where a query sees every token up to its own. */
export function layerMask(inputIds: Node, attentionMask: Node | null, window: number | null = null): Node | null {
  if (attentionMask === null && window === null) return null;
  return causalMask(attentionMask ?? onesLike(inputIds), { window });
}
