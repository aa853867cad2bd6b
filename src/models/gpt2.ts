import { z } from "zod";
import type { Node } from "../fx/node.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../nn/activation.ts";
import { layerMask } from "../nn/attend.ts";
import { type Projected, SelfAttention } from "../nn/attention.ts";
import { Conv1D } from "../nn/conv1d.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm } from "../nn/norm.ts";
import { add } from "../ops/arithmetic.ts";
import { positionIds } from "../ops/attention.ts";
import { columns } from "../ops/heads.ts";
import { CausalLM } from "./causal-lm.ts";
import { count, wholeHeads } from "./config.ts";
import { defineFamily } from "./family.ts";

const gpt2Config = z
  .object({
    vocab_size: count,
    n_positions: count.default(1024),
    n_embd: count,
    n_layer: count,
    n_head: count,
    n_inner: count.nullish(),
    activation_function: z.enum(ACTIVATION_NAMES).default("gelu_new"),
    layer_norm_epsilon: z.number().positive().default(1e-5),
    scale_attn_weights: z.boolean().default(true),
    scale_attn_by_inverse_layer_idx: z.boolean().default(false),
    add_cross_attention: z.literal(false).default(false),
    tie_word_embeddings: z.boolean().default(true),
  })
  .superRefine(wholeHeads("n_embd", "n_head"))
  .transform((config) => ({ ...config, n_inner: config.n_inner ?? 4 * config.n_embd }))
  .transform((config) => ({
    ...config,
    // What other families call these.
    hidden_size: config.n_embd,
    intermediate_size: config.n_inner,
    num_hidden_layers: config.n_layer,
    max_position_embeddings: config.n_positions,
    num_attention_heads: config.n_head,
    num_key_value_heads: config.n_head,
    head_dim: config.n_embd / config.n_head,
  }));

type GPT2Config = z.infer<typeof gpt2Config>;

/** Attention whose query, key and value projections are one. */
class GPT2Attention extends SelfAttention<GPT2Config & { readonly layer: number }> {
  readonly c_attn = new Conv1D(this.config.n_embd, 3 * this.config.n_embd);
  readonly c_proj = new Conv1D(this.config.n_embd, this.config.n_embd);

  protected override project(x: Node): Projected {
    const width = this.config.n_embd;
    const fused = this.c_attn.call(x); // [batch, seq, 3 · hidden]
    const part = (index: number) => columns(fused, { begin: index * width, end: (index + 1) * width });
    return [part(0), part(1), part(2)];
  }

  protected override projectOut(x: Node): Node {
    return this.c_proj.call(x);
  }

  protected override scores(): { scale: number } {
    const { scale_attn_weights, scale_attn_by_inverse_layer_idx, head_dim, layer } = this.config;
    const scale = scale_attn_weights ? head_dim ** -0.5 : 1;
    return { scale: scale_attn_by_inverse_layer_idx ? scale / (layer + 1) : scale };
  }
}

/** Feed-forward: proj(activation(fc(x))). */
class GPT2MLP extends Module<GPT2Config> {
  readonly c_fc = new Conv1D(this.config.n_embd, this.config.n_inner);
  readonly c_proj = new Conv1D(this.config.n_inner, this.config.n_embd);

  forward(x: Node): Node {
    return this.c_proj.call(ACTIVATIONS[this.config.activation_function](this.c_fc.call(x)));
  }
}

/** x + attention(norm(x)), then h + mlp(norm(h)). */
class GPT2Block extends Module<GPT2Config & { readonly layer: number }> {
  readonly ln_1 = new LayerNorm(this.config.n_embd, this.config.layer_norm_epsilon);
  readonly attn = new GPT2Attention(this.config);
  readonly ln_2 = new LayerNorm(this.config.n_embd, this.config.layer_norm_epsilon);
  readonly mlp = new GPT2MLP(this.config);

  forward(x: Node, mask: Node | null): Node {
    const h = add(x, this.attn.call(this.ln_1.call(x), mask));
    return add(h, this.mlp.call(this.ln_2.call(h))); // [batch, seq, hidden]
  }
}

/** Embeddings of tokens and of positions, blocks, final norm. */
class GPT2Model extends Module<GPT2Config> {
  readonly wte = new Embedding(this.config.vocab_size, this.config.n_embd);
  readonly wpe = new Embedding(this.config.n_positions, this.config.n_embd);
  readonly h = Array.from({ length: this.config.n_layer }, (_, layer) => new GPT2Block({ ...this.config, layer }));
  readonly ln_f = new LayerNorm(this.config.n_embd, this.config.layer_norm_epsilon);

  forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): Node {
    const embedded = add(this.wte.call(inputIds), this.wpe.call(positions ?? positionIds(inputIds)));
    const mask = layerMask(inputIds, attentionMask);
    return this.ln_f.call(this.h.reduce((x, block) => block.call(x, mask), embedded)); // [batch, seq, hidden]
  }
}

/** Decoder and last projection. */
class GPT2LMHeadModel extends CausalLM<GPT2Config> {
  override readonly noSplitModules = ["GPT2Block"];
  override readonly optionalPrefix = "transformer.";
  readonly transformer = new GPT2Model(this.config);
  override readonly lm_head = new Linear(this.config.n_embd, this.config.vocab_size);

  constructor(config: GPT2Config) {
    super(config);
    if (config.tie_word_embeddings) this.lm_head.weight = this.transformer.wte.weight;
  }

  override forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): { logits: Node } {
    return { logits: this.lm_head.call(this.transformer.call(inputIds, attentionMask, positions)) };
  }
}

/** GPT-2. */
export const gpt2 = defineFamily("gpt2", gpt2Config, (config) => new GPT2LMHeadModel(config));
