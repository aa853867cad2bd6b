import { z } from "zod";
import type { Node } from "../fx/node.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../nn/activation.ts";
import { layerMask } from "../nn/attend.ts";
import { type Projected, SelfAttention } from "../nn/attention.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm } from "../nn/norm.ts";
import { add } from "../ops/arithmetic.ts";
import { onesLike } from "../ops/attention.ts";
import { shiftPositions, textPositions } from "../ops/positions.ts";
import { CausalLM } from "./causal-lm.ts";
import { count, wholeHeads } from "./config.ts";
import { defineFamily } from "./family.ts";

const optConfig = z
  .object({
    vocab_size: count,
    hidden_size: count,
    ffn_dim: count,
    num_hidden_layers: count,
    num_attention_heads: count,
    max_position_embeddings: count.default(2048),
    word_embed_proj_dim: count.nullish(),
    do_layer_norm_before: z.literal(true).default(true),
    _remove_final_layer_norm: z.literal(false).default(false),
    layer_norm_elementwise_affine: z.literal(true).default(true),
    activation_function: z.enum(ACTIVATION_NAMES).default("relu"),
    enable_bias: z.boolean().default(true),
    tie_word_embeddings: z.boolean().default(true),
  })
  .superRefine(wholeHeads("hidden_size", "num_attention_heads"))
  .superRefine(({ word_embed_proj_dim: width, hidden_size }, context) => {
    if (width == null || width === hidden_size) return;
    const message = `${width}, expected hidden_size ${hidden_size}: embeddings of another width are not supported`;
    context.addIssue({ code: "custom", path: ["word_embed_proj_dim"], message });
  })
  .transform((config) => ({
    ...config,
    num_key_value_heads: config.num_attention_heads,
    head_dim: config.hidden_size / config.num_attention_heads,
  }));

type OPTConfig = z.infer<typeof optConfig>;

/** Rows of the table of positions that stand before position 0. */
const OFFSET = 2;
/** PyTorch's default: the configuration has none. */
const EPSILON = 1e-5;

/** Attention with a projection each for queries, keys, values and what comes out. */
class OPTAttention extends SelfAttention<OPTConfig> {
  readonly k_proj = this.projection();
  readonly v_proj = this.projection();
  readonly q_proj = this.projection();
  readonly out_proj = this.projection();

  protected override project(x: Node): Projected {
    return [this.q_proj.call(x), this.k_proj.call(x), this.v_proj.call(x)];
  }

  protected override projectOut(x: Node): Node {
    return this.out_proj.call(x);
  }

  protected projection(): Linear {
    const { hidden_size, enable_bias: bias } = this.config;
    return new Linear(hidden_size, hidden_size, { bias });
  }
}

/** x + attention(norm(x)), then h + fc2(activation(fc1(norm(h)))). */
class OPTDecoderLayer extends Module<OPTConfig> {
  readonly self_attn = new OPTAttention(this.config);
  readonly self_attn_layer_norm = new LayerNorm(this.config.hidden_size, EPSILON);
  readonly fc1 = new Linear(this.config.hidden_size, this.config.ffn_dim, { bias: this.config.enable_bias });
  readonly fc2 = new Linear(this.config.ffn_dim, this.config.hidden_size, { bias: this.config.enable_bias });
  readonly final_layer_norm = new LayerNorm(this.config.hidden_size, EPSILON);

  forward(x: Node, mask: Node | null): Node {
    const h = add(x, this.self_attn.call(this.self_attn_layer_norm.call(x), mask));
    const activated = ACTIVATIONS[this.config.activation_function](this.fc1.call(this.final_layer_norm.call(h)));
    return add(h, this.fc2.call(activated)); // [batch, seq, hidden]
  }
}

/** Learnt embeddings of positions, of which the first two rows are not used but for padding. */
class OPTLearnedPositionalEmbedding extends Embedding {
  override forward(positions: Node): Node {
    return super.forward(shiftPositions(positions, { offset: OFFSET }));
  }
}

/** Embeddings of tokens and of positions, layers, final norm. */
class OPTDecoder extends Module<OPTConfig> {
  readonly embed_tokens = new Embedding(this.config.vocab_size, this.config.hidden_size);
  readonly embed_positions = new OPTLearnedPositionalEmbedding(
    this.config.max_position_embeddings + OFFSET,
    this.config.hidden_size,
  );
  readonly final_layer_norm = new LayerNorm(this.config.hidden_size, EPSILON);
  readonly layers = Array.from({ length: this.config.num_hidden_layers }, () => new OPTDecoderLayer(this.config));

  forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): Node {
    const tokens = attentionMask ?? onesLike(inputIds);
    const placed = this.embed_positions.call(positions ?? textPositions(tokens));
    const mask = layerMask(inputIds, attentionMask);
    const embedded = add(this.embed_tokens.call(inputIds), placed);
    return this.final_layer_norm.call(this.layers.reduce((x, layer) => layer.call(x, mask), embedded));
  }
}

/** The decoder, one level below. */
class OPTModel extends Module<OPTConfig> {
  readonly decoder = new OPTDecoder(this.config);

  forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): Node {
    return this.decoder.call(inputIds, attentionMask, positions);
  }
}

/** Decoder and last projection. */
class OPTForCausalLM extends CausalLM<OPTConfig> {
  override readonly noSplitModules = ["OPTDecoderLayer"];
  readonly model = new OPTModel(this.config);
  override readonly lm_head = new Linear(this.config.hidden_size, this.config.vocab_size);

  constructor(config: OPTConfig) {
    super(config);
    if (config.tie_word_embeddings) this.lm_head.weight = this.model.decoder.embed_tokens.weight;
  }

  override forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): { logits: Node } {
    return { logits: this.lm_head.call(this.model.call(inputIds, attentionMask, positions)) };
  }
}

/** OPT (arXiv:2205.01068), without the variant that norms after its sums. Positions count the tokens that are no padding. */
export const opt = defineFamily("opt", optConfig, (config) => new OPTForCausalLM(config));
