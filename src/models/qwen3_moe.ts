import { z } from "zod";
import type { SelfAttention } from "../nn/attention.ts";
import type { FeedForward } from "../nn/experts.ts";
import { standardizeRope } from "../nn/rope-config.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { LlamaDecoderLayer, LlamaForCausalLM, LlamaMLP, LlamaModel, llamaLikeConfig } from "./llama.ts";
import { expertFields, hasExperts, type LayerConfig, RoutedExperts } from "./qwen2_moe.ts";
import { Qwen3Attention } from "./qwen3.ts";

const qwen3MoeConfig = llamaLikeConfig({
  ...expertFields,
  num_experts: count.default(128),
  num_experts_per_tok: count.default(8),
  moe_intermediate_size: count.default(768),
  use_sliding_window: z.boolean().default(false),
  sliding_window: count.nullable().default(4096),
});

type Qwen3MoeConfig = z.infer<typeof qwen3MoeConfig>;

/** The block under the class name that recipes may target. */
class Qwen3MoeSparseMoeBlock extends RoutedExperts<Qwen3MoeConfig> {}

/** A Qwen3 layer with experts, or without. */
class Qwen3MoeDecoderLayer extends LlamaDecoderLayer<LayerConfig<Qwen3MoeConfig>> {
  protected override attention(): SelfAttention {
    return new Qwen3Attention(this.config);
  }

  protected override feedForward(): FeedForward {
    return this.config.hasExperts ? new Qwen3MoeSparseMoeBlock(this.config) : new LlamaMLP(this.config);
  }
}

/** Layers with and without experts; all see a sliding window where sliding is on. */
class Qwen3MoeModel extends LlamaModel<Qwen3MoeConfig> {
  protected override layer(index: number): LlamaDecoderLayer {
    return new Qwen3MoeDecoderLayer({ ...this.config, hasExperts: hasExperts(this.config, index) });
  }

  protected override window(): number | null {
    return this.config.use_sliding_window ? this.config.sliding_window : null;
  }
}

/** Decoder and last projection. */
class Qwen3MoeForCausalLM extends LlamaForCausalLM<Qwen3MoeConfig> {
  override readonly noSplitModules = ["Qwen3MoeDecoderLayer"];

  protected override decoder(): LlamaModel {
    return new Qwen3MoeModel(this.config);
  }
}

/** The number of experts has two spellings. */
function standardizeExperts({
  num_local_experts,
  ...config
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return standardizeRope({ ...config, num_experts: config.num_experts ?? num_local_experts });
}

/** Qwen3-MoE (arXiv:2505.09388): a Qwen3 with experts. */
export const qwen3Moe = defineFamily(
  "qwen3_moe",
  qwen3MoeConfig,
  (config) => new Qwen3MoeForCausalLM(config),
  standardizeExperts,
);
