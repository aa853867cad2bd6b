import { z } from "zod";
import type { Node } from "../fx/node.ts";
import { normHeads, type Projected, type SelfAttention } from "../nn/attention.ts";
import { OffsetRMSNorm } from "../nn/norm.ts";
import { ropeParameters, standardizeRope } from "../nn/rope-config.ts";
import { RotaryEmbedding } from "../nn/rotary.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { Gemma2Attention, Gemma2DecoderLayer, Gemma2ForCausalLM, Gemma2Model, gemmaFields } from "./gemma2.ts";
import { type LlamaDecoderLayer, type LlamaModel, llamaLikeConfig } from "./llama.ts";

const gemma3Config = llamaLikeConfig({
  ...gemmaFields,
  max_position_embeddings: count.default(131_072),
  attn_logit_softcapping: z.number().positive().nullable().default(null),
  final_logit_softcapping: z.number().positive().nullable().default(null),
  sliding_window_pattern: count.default(6),
  /** The angles of layers that see a sliding window; `rope_parameters` are those of the others. */
  local_rope_parameters: ropeParameters,
});

type Gemma3Config = z.infer<typeof gemma3Config>;

/** The norm under the class name that recipes may target. */
class Gemma3RMSNorm extends OffsetRMSNorm {}
/** The rotary tables under the class name that recipes may target. */
class Gemma3RotaryEmbedding extends RotaryEmbedding {}

/** Each head of the queries and keys is normed before it is rotated. */
class Gemma3Attention extends Gemma2Attention {
  readonly q_norm = new Gemma3RMSNorm(this.config.head_dim, this.config.rms_norm_eps);
  readonly k_norm = new Gemma3RMSNorm(this.config.head_dim, this.config.rms_norm_eps);

  protected override project(x: Node): Projected {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads } = this.config;
    const [q, k, v] = super.project(x);
    return [normHeads(q, this.q_norm, heads), normHeads(k, this.k_norm, kvHeads), v];
  }
}

/** Gemma 2's layer with norms on queries and keys. */
class Gemma3DecoderLayer extends Gemma2DecoderLayer {
  protected override attention(): SelfAttention {
    return new Gemma3Attention(this.config);
  }

  protected override norm(): OffsetRMSNorm {
    return new Gemma3RMSNorm(this.config.hidden_size, this.config.rms_norm_eps);
  }
}

/** Layers that see a sliding window have angles of their own. */
export class Gemma3TextModel extends Gemma2Model<Gemma3Config> {
  override readonly norm = new Gemma3RMSNorm(this.config.hidden_size, this.config.rms_norm_eps);
  override readonly rotary_emb = new Gemma3RotaryEmbedding(this.config);
  readonly rotary_emb_local = new Gemma3RotaryEmbedding({
    ...this.config,
    rope_parameters: this.config.local_rope_parameters,
  });

  protected override layer(): LlamaDecoderLayer {
    return new Gemma3DecoderLayer(this.config);
  }

  protected override rotaryTables(positions: Node): Node[] {
    const [local, global] = [this.rotary_emb_local.call(positions), this.rotary_emb.call(positions)];
    return this.layers.map((_, index) => (this.slides(index) ? local : global));
  }

  /** All but every `sliding_window_pattern`-th layer slide, where `layer_types` does not say. */
  protected override slides(index: number): boolean {
    const { layer_types, sliding_window_pattern: pattern } = this.config;
    return layer_types ? layer_types[index] === "sliding_attention" : (index + 1) % pattern !== 0;
  }
}

/** Decoder and last projection. */
class Gemma3ForCausalLM extends Gemma2ForCausalLM<Gemma3Config> {
  override readonly noSplitModules = ["Gemma3DecoderLayer"];

  protected override decoder(): LlamaModel {
    return new Gemma3TextModel(this.config);
  }
}

/**
 * Two sets of rotary parameters: of late, `rope_parameters` holds one for each kind of layer; before, sliding layers had
 * `rope_local_base_freq` and the others all else.
 */
function standardizeRopes(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { rope_parameters, rope_scaling, rope_theta, rope_local_base_freq, ...rest } = config;
  const { full_attention, sliding_attention } = (rope_parameters ?? {}) as Record<string, object | undefined>;
  const standard = (rope_theta: unknown, parameters: unknown) =>
    standardizeRope({ rope_theta, rope_parameters: parameters }).rope_parameters;
  return {
    ...rest,
    rope_parameters: standard(rope_theta ?? 1_000_000, full_attention ?? rope_scaling),
    local_rope_parameters: standard(rope_local_base_freq ?? 10_000, sliding_attention),
  };
}

/** The language model of Gemma 3 (arXiv:2503.19786). */
export const gemma3Text = defineFamily(
  "gemma3_text",
  gemma3Config,
  (config) => new Gemma3ForCausalLM(config),
  standardizeRopes,
);
