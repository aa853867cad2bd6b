import { z } from "zod";
import type { Node } from "../fx/node.ts";
import type { SelfAttention } from "../nn/attention.ts";
import { type FeedForward, Router, SparseMoeBlock } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { sigmoid } from "../ops/activation.ts";
import { add, mul } from "../ops/arithmetic.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { type LlamaConfig, LlamaDecoderLayer, LlamaMLP, llamaLikeConfig, type RotaryDecoderLayer } from "./llama.ts";
import { Qwen2Attention, Qwen2ForCausalLM, Qwen2Model, qwen2Fields } from "./qwen2.ts";

/** Keys that say which layers have experts, and what a token's weights for them add up to. */
export const expertFields = {
  norm_topk_prob: z.boolean().default(false),
  decoder_sparse_step: count.default(1),
  mlp_only_layers: z.array(z.number().int().nonnegative()).nullish(),
};

const qwen2MoeConfig = llamaLikeConfig({
  ...qwen2Fields,
  ...expertFields,
  num_experts: count.default(60),
  num_experts_per_tok: count.default(4),
  moe_intermediate_size: count.default(1408),
  shared_expert_intermediate_size: count.default(5632),
  sliding_window: z.number().int().nonnegative().nullable().default(4096), // 0 where nothing slides
  qkv_bias: z.boolean().default(true),
});

/** What a block of experts needs of a configuration. */
type ExpertsConfig = LlamaConfig & {
  readonly num_experts: number;
  readonly num_experts_per_tok: number;
  readonly moe_intermediate_size: number;
  readonly norm_topk_prob: boolean;
};

type Qwen2MoeConfig = z.infer<typeof qwen2MoeConfig>;

/** A configuration as one layer gets it. */
export type LayerConfig<Config> = Config & { readonly hasExperts: boolean };

/** Whether the layer at `index` has experts: every `decoder_sparse_step`-th, but for those that are listed as having none. */
export function hasExperts(
  config: { readonly decoder_sparse_step: number; readonly mlp_only_layers?: readonly number[] | null },
  index: number,
): boolean {
  return !config.mlp_only_layers?.includes(index) && (index + 1) % config.decoder_sparse_step === 0;
}

/** A router and its experts, each a gated feed-forward. */
export class RoutedExperts<Config extends ExpertsConfig = ExpertsConfig> extends SparseMoeBlock<Config> {
  readonly gate = new Router({
    hidden_size: this.config.hidden_size,
    experts: this.config.num_experts,
    topK: this.config.num_experts_per_tok,
    normalize: this.config.norm_topk_prob,
  });
  readonly experts = Array.from({ length: this.config.num_experts }, () =>
    this.expert(this.config.moe_intermediate_size),
  );

  protected expert(intermediate_size: number): LlamaMLP {
    return new LlamaMLP({ ...this.config, intermediate_size });
  }
}

/** Experts, and one more that sees every token: its result counts sigmoid(gate(x)) times. */
class Qwen2MoeSparseMoeBlock extends RoutedExperts<Qwen2MoeConfig> {
  readonly shared_expert = this.expert(this.config.shared_expert_intermediate_size);
  readonly shared_expert_gate = new Linear(this.config.hidden_size, 1);

  override forward(x: Node): Node {
    const share = sigmoid(this.shared_expert_gate.call(x)); // [batch, seq, 1]
    return add(super.forward(x), mul(share, this.shared_expert.call(x)));
  }
}

/** Qwen2's attention, whose biases the configuration may leave out. */
class Qwen2MoeAttention extends Qwen2Attention<Qwen2MoeConfig> {
  protected override projection(inFeatures: number, outFeatures: number): Linear {
    return new Linear(inFeatures, outFeatures, { bias: this.config.qkv_bias });
  }
}

/** A Qwen2 layer with experts, or without. */
class Qwen2MoeDecoderLayer extends LlamaDecoderLayer<LayerConfig<Qwen2MoeConfig>> {
  protected override attention(): SelfAttention {
    return new Qwen2MoeAttention(this.config);
  }

  protected override feedForward(): FeedForward {
    return this.config.hasExperts ? new Qwen2MoeSparseMoeBlock(this.config) : new LlamaMLP(this.config);
  }
}

/** Layers with and without experts. */
class Qwen2MoeModel extends Qwen2Model<Qwen2MoeConfig> {
  protected override layer(index: number): RotaryDecoderLayer {
    return new Qwen2MoeDecoderLayer({ ...this.config, hasExperts: hasExperts(this.config, index) });
  }

  /** Every second layer before `max_window_layers` slides, where sliding is on; `layer_types` overrules. */
  protected override window(index: number): number | null {
    const { use_sliding_window, sliding_window, max_window_layers, layer_types } = this.config;
    const slides = layer_types
      ? layer_types[index] === "sliding_attention"
      : index < max_window_layers && index % 2 === 0;
    return use_sliding_window && slides ? sliding_window : null;
  }
}

/** Decoder and last projection. */
class Qwen2MoeForCausalLM extends Qwen2ForCausalLM<Qwen2MoeConfig> {
  override readonly noSplitModules = ["Qwen2MoeDecoderLayer"];

  protected override decoder(): Qwen2MoeModel {
    return new Qwen2MoeModel(this.config);
  }
}

/** Qwen2-MoE (arXiv:2407.10671): a Qwen2 with experts, one of them shared. */
export const qwen2Moe = defineFamily("qwen2_moe", qwen2MoeConfig, (config) => new Qwen2MoeForCausalLM(config));
