import { z } from "zod";
import type { Node } from "../fx/node.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../nn/activation.ts";
import { layerMask } from "../nn/attend.ts";
import { type Projected, SelfAttention } from "../nn/attention.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm } from "../nn/norm.ts";
import { ropeParameters, standardizeRope } from "../nn/rope-config.ts";
import { RotaryEmbedding } from "../nn/rotary.ts";
import { add } from "../ops/arithmetic.ts";
import { positionIds } from "../ops/attention.ts";
import { columns, mergeHeads, splitHeads } from "../ops/heads.ts";
import { CausalLM } from "./causal-lm.ts";
import { count, wholeHeads } from "./config.ts";
import { defineFamily } from "./family.ts";

const gptNeoXConfig = z
  .object({
    vocab_size: count,
    hidden_size: count,
    intermediate_size: count,
    num_hidden_layers: count,
    num_attention_heads: count,
    hidden_act: z.enum(ACTIVATION_NAMES).default("gelu"),
    max_position_embeddings: count.default(2048),
    layer_norm_eps: z.number().positive().default(1e-5),
    use_parallel_residual: z.boolean().default(true),
    attention_bias: z.boolean().default(true),
    tie_word_embeddings: z.boolean().default(false),
    rope_parameters: ropeParameters,
  })
  .superRefine(wholeHeads("hidden_size", "num_attention_heads"))
  .transform((config) => ({
    ...config,
    num_key_value_heads: config.num_attention_heads,
    head_dim: config.hidden_size / config.num_attention_heads,
  }));

type GPTNeoXConfig = z.infer<typeof gptNeoXConfig>;

/** Attention whose projection holds query, key and value of each head side by side. */
class GPTNeoXAttention extends SelfAttention<GPTNeoXConfig> {
  readonly query_key_value = this.projection(3 * this.config.hidden_size);
  readonly dense = this.projection(this.config.hidden_size);

  protected override project(x: Node): Projected {
    const { num_attention_heads: heads, head_dim: size } = this.config;
    const fused = splitHeads(this.query_key_value.call(x), { heads }); // [batch, seq, heads, 3 · head_dim]
    const part = (index: number) => mergeHeads(columns(fused, { begin: index * size, end: (index + 1) * size }));
    return [part(0), part(1), part(2)];
  }

  protected override projectOut(x: Node): Node {
    return this.dense.call(x);
  }

  protected projection(outFeatures: number): Linear {
    return new Linear(this.config.hidden_size, outFeatures, { bias: this.config.attention_bias });
  }
}

/** Feed-forward: narrow(activation(widen(x))). */
class GPTNeoXMLP extends Module<GPTNeoXConfig> {
  readonly dense_h_to_4h = new Linear(this.config.hidden_size, this.config.intermediate_size, { bias: true });
  readonly dense_4h_to_h = new Linear(this.config.intermediate_size, this.config.hidden_size, { bias: true });

  forward(x: Node): Node {
    return this.dense_4h_to_h.call(ACTIVATIONS[this.config.hidden_act](this.dense_h_to_4h.call(x)));
  }
}

/** x + attention(norm(x)) + mlp(norm(x)), or one after the other where `use_parallel_residual` is off. */
class GPTNeoXLayer extends Module<GPTNeoXConfig> {
  readonly input_layernorm = new LayerNorm(this.config.hidden_size, this.config.layer_norm_eps);
  readonly post_attention_layernorm = new LayerNorm(this.config.hidden_size, this.config.layer_norm_eps);
  readonly attention = new GPTNeoXAttention(this.config);
  readonly mlp = new GPTNeoXMLP(this.config);

  forward(x: Node, mask: Node | null, rotaryTable: Node): Node {
    const h = add(x, this.attention.call(this.input_layernorm.call(x), mask, rotaryTable));
    const fed = this.mlp.call(this.post_attention_layernorm.call(this.config.use_parallel_residual ? x : h));
    return add(h, fed); // [batch, seq, hidden]
  }
}

/** Embedding, layers, final norm. */
class GPTNeoXModel extends Module<GPTNeoXConfig> {
  readonly embed_in = new Embedding(this.config.vocab_size, this.config.hidden_size);
  readonly layers = Array.from({ length: this.config.num_hidden_layers }, () => new GPTNeoXLayer(this.config));
  readonly final_layer_norm = new LayerNorm(this.config.hidden_size, this.config.layer_norm_eps);
  readonly rotary_emb = new RotaryEmbedding(this.config);

  forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): Node {
    const mask = layerMask(inputIds, attentionMask);
    const rotaryTable = this.rotary_emb.call(positions ?? positionIds(inputIds));
    const hidden = this.layers.reduce((x, layer) => layer.call(x, mask, rotaryTable), this.embed_in.call(inputIds));
    return this.final_layer_norm.call(hidden); // [batch, seq, hidden]
  }
}

/** The last projection: `embed_out` in checkpoints, `lm_head` in recipes and in the newest readers. */
class GPTNeoXHead extends Linear {
  override readonly alias = "lm_head";
}

/** Decoder and last projection. */
class GPTNeoXForCausalLM extends CausalLM<GPTNeoXConfig> {
  override readonly noSplitModules = ["GPTNeoXLayer"];
  readonly gpt_neox = new GPTNeoXModel(this.config);
  readonly embed_out = new GPTNeoXHead(this.config.hidden_size, this.config.vocab_size);

  constructor(config: GPTNeoXConfig) {
    super(config);
    if (config.tie_word_embeddings) this.embed_out.weight = this.gpt_neox.embed_in.weight;
  }

  override get lm_head(): Linear {
    return this.embed_out;
  }

  override forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): { logits: Node } {
    return { logits: this.embed_out.call(this.gpt_neox.call(inputIds, attentionMask, positions)) };
  }
}

/** Rotary parameters have names of their own here. */
function standardizeNeoXRope({
  rotary_pct,
  rotary_emb_base,
  ...config
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return standardizeRope({ ...config, rope_theta: rotary_emb_base, partial_rotary_factor: rotary_pct ?? 0.25 });
}

/** GPT-NeoX (arXiv:2204.06745) and Pythia: the first columns of each head are rotated. */
export const gptNeoX = defineFamily(
  "gpt_neox",
  gptNeoXConfig,
  (config) => new GPTNeoXForCausalLM(config),
  standardizeNeoXRope,
);
