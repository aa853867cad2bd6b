import { z } from "zod";
import type { Node } from "../fx/node.ts";
import type { SelfAttention } from "../nn/attention.ts";
import type { FeedForward } from "../nn/experts.ts";
import { ScaledEmbedding } from "../nn/linear.ts";
import { OffsetRMSNorm } from "../nn/norm.ts";
import { geluTanh, softCap } from "../ops/activation.ts";
import { add } from "../ops/arithmetic.ts";
import { rounder } from "../tensor/convert.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import {
  LlamaAttention,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaMLP,
  LlamaModel,
  layerTypes,
  llamaLikeConfig,
} from "./llama.ts";

/** Keys of Gemma's config.json that Llama's lacks or has other defaults for. */
export const gemmaFields = {
  head_dim: count.default(256),
  hidden_act: z.string().nullish(), // what older files have in place of hidden_activation, and nobody reads
  hidden_activation: z.literal("gelu_pytorch_tanh").default("gelu_pytorch_tanh"),
  max_position_embeddings: count.default(8192),
  tie_word_embeddings: z.boolean().default(true),
  query_pre_attn_scalar: z.number().positive().default(256),
  sliding_window: count.nullable().default(4096),
  layer_types: layerTypes,
  attn_logit_softcapping: z.number().positive().nullable().default(50),
  final_logit_softcapping: z.number().positive().nullable().default(30),
  use_bidirectional_attention: z.literal(false).nullish(),
  dtype: z.string().nullish(),
  torch_dtype: z.string().nullish(),
};

const gemma2Config = llamaLikeConfig(gemmaFields);

/** Gemma's configuration with what it leaves open filled in. */
type Gemma2Config = z.infer<typeof gemma2Config>;

/** The norm under the class name that recipes may target. */
class Gemma2RMSNorm extends OffsetRMSNorm {}

/** The embedding under the class name that recipes may target. */
class Gemma2TextScaledWordEmbedding extends ScaledEmbedding {}

/** Gated feed-forward with GELU. */
class Gemma2MLP extends LlamaMLP {
  protected override activation(x: Node): Node {
    return geluTanh(x);
  }
}

/** Scores have a scale of their own and are capped. */
export class Gemma2Attention extends LlamaAttention<Gemma2Config> {
  protected override scores(): { scale: number; softCap?: number } {
    const { query_pre_attn_scalar: scalar, attn_logit_softcapping: cap } = this.config;
    return { scale: scalar ** -0.5, ...(cap === null ? {} : { softCap: cap }) };
  }
}

/** Attention and feed-forward are normed before and after: x + norm(attention(norm(x))), then h + norm(mlp(norm(h))). */
export class Gemma2DecoderLayer extends LlamaDecoderLayer<Gemma2Config> {
  override readonly input_layernorm = this.norm();
  override readonly post_attention_layernorm = this.norm();
  readonly pre_feedforward_layernorm = this.norm();
  readonly post_feedforward_layernorm = this.norm();

  override forward(x: Node, mask: Node | null, rotaryTable: Node): Node {
    const attended = this.self_attn.call(this.input_layernorm.call(x), mask, rotaryTable);
    const h = add(x, this.post_attention_layernorm.call(attended));
    const fed = this.mlp.call(this.pre_feedforward_layernorm.call(h));
    return add(h, this.post_feedforward_layernorm.call(fed)); // [batch, seq, hidden]
  }

  protected override attention(): SelfAttention {
    return new Gemma2Attention(this.config);
  }

  protected override feedForward(): FeedForward {
    return new Gemma2MLP(this.config);
  }

  protected norm(): OffsetRMSNorm {
    return new Gemma2RMSNorm(this.config.hidden_size, this.config.rms_norm_eps);
  }
}

/** Embeddings are scaled; layers see a sliding window and the whole text by turns. */
export class Gemma2Model<Config extends Gemma2Config = Gemma2Config> extends LlamaModel<Config> {
  override readonly embed_tokens = new Gemma2TextScaledWordEmbedding(
    this.config.vocab_size,
    this.config.hidden_size,
    embeddingScale(this.config),
  );
  override readonly norm = new Gemma2RMSNorm(this.config.hidden_size, this.config.rms_norm_eps);

  protected override layer(): LlamaDecoderLayer {
    return new Gemma2DecoderLayer(this.config);
  }

  protected override window(index: number): number | null {
    return this.slides(index) ? this.config.sliding_window : null;
  }

  /** Whether the layer at `index` sees a sliding window: every second, where `layer_types` does not say. */
  protected slides(index: number): boolean {
    const { layer_types } = this.config;
    return layer_types ? layer_types[index] === "sliding_attention" : index % 2 === 0;
  }
}

/** Decoder and last projection, whose logits are capped. */
export class Gemma2ForCausalLM<Config extends Gemma2Config = Gemma2Config> extends LlamaForCausalLM<Config> {
  override readonly noSplitModules: readonly string[] = ["Gemma2DecoderLayer"];

  override forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): { logits: Node } {
    const { logits } = super.forward(inputIds, attentionMask, positions);
    const { final_logit_softcapping: cap } = this.config;
    return { logits: cap === null ? logits : softCap(logits, { cap }) };
  }

  protected override decoder(): LlamaModel {
    return new Gemma2Model(this.config);
  }
}

/** √hidden_size in the dtype of the weights: models are trained with the rounded value. */
function embeddingScale({ hidden_size, dtype, torch_dtype }: Gemma2Config): number {
  const names = { bfloat16: "BF16", float16: "F16" } as const;
  return rounder(names[(dtype ?? torch_dtype) as keyof typeof names] ?? "F32")(Math.sqrt(hidden_size));
}

/** Gemma 2 (arXiv:2408.00118). */
export const gemma2 = defineFamily("gemma2", gemma2Config, (config) => new Gemma2ForCausalLM(config));
