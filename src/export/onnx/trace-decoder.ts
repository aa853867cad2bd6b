import { ConfigError } from "../../errors.ts";
import { Graph, getitem } from "../../fx/graph.ts";
import type { Attributes, FunctionTarget, Node } from "../../fx/node.ts";
import { Tracer } from "../../fx/tracer.ts";
import { f32, i64 } from "../../fx/types.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { attention, causalMask } from "../../ops/attention.ts";
import { linear, linearBias } from "../../ops/linear.ts";
import { type CachedAttentionAttributes, cacheBias, cachedAttention, lastTokens } from "./cached-attention.ts";

/** The inputs of a decoder that the model's forward takes, with the names of dimensions that transformers.js knows. */
const INPUTS = {
  input_ids: i64("batch_size", "sequence_length"),
  attention_mask: i64("batch_size", "total_sequence_length"),
  position_ids: i64("batch_size", "sequence_length"),
};

/**
 * A model as one graph that decodes with a cache of keys and values, in the names of transformers.js: `input_ids`,
 * `attention_mask` (of the cache too), `position_ids`, `num_logits_to_keep` and `past_key_values.{i}.key` and `.value` give
 * `logits` and `present.{i}.key` and `.value`.
 *
 * The forward is traced as it is; then every attention is replaced by one that has a cache, and the mask by one over all of it.
 */
export function traceDecoder(model: CausalLM): Graph {
  const traced = new Tracer().trace(model, INPUTS, { use_cache: true });
  return new CacheRewriter(model).rewrite(traced);
}

/** Copies a graph, node by node, and gives it a cache. */
class CacheRewriter {
  readonly #graph = new Graph();
  readonly #values = new Map<Node, Node>();
  readonly #present: Record<string, Node> = {};
  readonly #headPath: string | undefined;

  constructor(model: CausalLM) {
    this.#headPath = model.namedModules().find(([, module]) => module === model.lm_head)?.[0];
  }

  rewrite(traced: Graph): Graph {
    for (const node of traced.placeholders) this.#values.set(node, this.#graph.placeholder(node.targetName, node.type));
    const keep = this.#graph.placeholder("num_logits_to_keep", i64());
    this.#declareCache(traced);
    for (const node of traced.nodes) {
      if (node.op === "placeholder") continue;
      if (node.op === "output") this.#graph.output({ logits: this.#valueOf(node.inputs[0]), ...this.#present });
      else this.#values.set(node, this.#copy(node, keep));
    }
    this.#graph.eliminateDeadCode();
    this.#graph.lint();
    return this.#graph;
  }

  #declareCache(traced: Graph): void {
    const attentions = traced.nodes.filter(({ target }) => target === attention.operator);
    for (const [layer, { inputs, attrs }] of attentions.entries()) {
      const { kvHeads } = attrs as CachedAttentionAttributes;
      const size = (inputs[1].shape[2] as number) / kvHeads;
      const type = f32("batch_size", kvHeads, "past_sequence_length", size);
      for (const part of ["key", "value"]) this.#graph.placeholder(`past_key_values.${layer}.${part}`, type);
    }
  }

  #copy(node: Node, keep: Node): Node {
    const inputs = node.inputs.map((input) => this.#valueOf(input));
    const { op, target, attrs, modulePath } = node;
    if (op === "get_attr") return this.#graph.copyNode(node, inputs);
    if (target === getitem) return this.#graph.getItem(inputs[0], attrs.index as number);
    if (target === attention.operator) return this.#attend(inputs, attrs, modulePath);
    if (target === causalMask.operator) {
      return this.#call(cacheBias.operator, [this.#input("input_ids"), inputs[0]], attrs, modulePath);
    }
    if (isLinear(node) && modulePath === this.#headPath) inputs[0] = this.#call(lastTokens.operator, [inputs[0], keep]);
    return this.#call(target as FunctionTarget, inputs, attrs, modulePath);
  }

  #attend([q, k, v, bias]: readonly Node[], attrs: Attributes, modulePath: string): Node {
    const layer = Object.keys(this.#present).length / 2;
    const past = ["key", "value"].map((part) => this.#input(`past_key_values.${layer}.${part}`));
    const inputs = [q, k, v, ...past, bias];
    const [result, key, value] = this.#call(cachedAttention.operator, inputs, attrs, modulePath);
    this.#present[`present.${layer}.key`] = key;
    this.#present[`present.${layer}.value`] = value;
    return result;
  }

  #call(target: FunctionTarget, inputs: readonly Node[], attrs: Attributes = {}, modulePath = ""): Node {
    const type = target.infer(
      inputs.map((input) => input.type),
      attrs,
    );
    return this.#graph.callFunction(target, inputs, attrs, type, modulePath);
  }

  #input(name: string): Node {
    return this.#graph.placeholders.find(({ targetName }) => targetName === name) as Node;
  }

  #valueOf(node: Node): Node {
    const value = this.#values.get(node);
    if (value) return value;
    throw new ConfigError(`%${node.name}: not part of a decoder, expected attention over a cache.`);
  }
}

/** Whether a node multiplies by a weight [out, in]. */
export function isLinear({ target }: Node): boolean {
  return target === linear.operator || target === linearBias.operator;
}
