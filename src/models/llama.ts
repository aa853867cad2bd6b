import { z } from "zod";
import type { Node } from "../fx/node.ts";
import { layerMask } from "../nn/attend.ts";
import { type Projected, SelfAttention } from "../nn/attention.ts";
import type { FeedForward } from "../nn/experts.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { RMSNorm } from "../nn/norm.ts";
import { ropeParameters } from "../nn/rope-config.ts";
import { RotaryEmbedding } from "../nn/rotary.ts";
import { add, mul, silu } from "../ops/arithmetic.ts";
import { positionIds } from "../ops/attention.ts";
import { CausalLM } from "./causal-lm.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";

/** What each layer sees: the whole text, or a sliding window. */
export const layerTypes = z.array(z.enum(["full_attention", "sliding_attention"])).nullish();

const llamaFields = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  hidden_act: z.literal("silu").default("silu"),
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  rope_parameters: ropeParameters,
});

/** Fills in what follows from other values: a key/value head for each head, heads that share the hidden size. */
function complete<Fields extends z.infer<typeof llamaFields>>(config: Fields) {
  return {
    ...config,
    num_key_value_heads: config.num_key_value_heads ?? config.num_attention_heads,
    head_dim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
  };
}

/** Heads share the hidden size, groups of them a key/value head; rotation pairs the columns of a head. */
function checkHeads(config: z.infer<typeof llamaFields>, context: z.RefinementCtx): void {
  const { num_key_value_heads: kvHeads, head_dim, ...given } = complete(config);
  const report = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
  if (!Number.isInteger(head_dim)) {
    report(
      "hidden_size",
      `${given.hidden_size}, expected a multiple of num_attention_heads ${given.num_attention_heads}`,
    );
  } else if (head_dim % 2 !== 0) {
    report("head_dim", `${head_dim}, expected an even number`);
  }
  if (given.num_attention_heads % kvHeads !== 0) {
    report(
      "num_attention_heads",
      `${given.num_attention_heads}, expected a multiple of num_key_value_heads ${kvHeads}`,
    );
  }
}

/** Where the kinds of layers are listed, all are. */
function checkLayerTypes(config: z.infer<typeof llamaFields>, context: z.RefinementCtx): void {
  const { layer_types: types, num_hidden_layers: layers } = config as typeof config & {
    layer_types?: unknown[] | null;
  };
  if (!types || types.length === layers) return;
  const message = `${types.length} values, expected one for each of num_hidden_layers ${layers}`;
  context.addIssue({ code: "custom", path: ["layer_types"], message });
}

/** Schema of config.json for a family that follows Llama's plan, with the keys that it adds or changes. */
export function llamaLikeConfig<Extra extends z.ZodRawShape>(extra: Extra) {
  return llamaFields
    .extend(extra)
    .superRefine((config, context) => {
      checkHeads(config as z.infer<typeof llamaFields>, context);
      checkLayerTypes(config as z.infer<typeof llamaFields>, context);
    })
    .transform((config) => complete(config as z.infer<typeof llamaFields> & typeof config));
}

const llamaConfig = llamaLikeConfig({});

/** A configuration with what it leaves open filled in. */
export type LlamaConfig = z.infer<typeof llamaConfig>;

/** The norm under the class name that recipes may target. */
class LlamaRMSNorm extends RMSNorm {}
/** The rotary table under the class name that recipes may target. */
class LlamaRotaryEmbedding extends RotaryEmbedding {}

/** Gated feed-forward: down(silu(gate(x)) · up(x)). */
export class LlamaMLP<Config extends LlamaConfig = LlamaConfig> extends Module<Config> {
  readonly gate_proj = this.projection(this.config.hidden_size, this.config.intermediate_size);
  readonly up_proj = this.projection(this.config.hidden_size, this.config.intermediate_size);
  readonly down_proj = this.projection(this.config.intermediate_size, this.config.hidden_size);

  forward(x: Node): Node {
    return this.down_proj.call(mul(this.activation(this.gate_proj.call(x)), this.up_proj.call(x))); // [batch, seq, hidden]
  }

  protected activation(x: Node): Node {
    return silu(x);
  }

  protected projection(inFeatures: number, outFeatures: number): Linear {
    return new Linear(inFeatures, outFeatures, { bias: this.config.mlp_bias });
  }
}

/** Attention with a projection each for queries, keys, values and what comes out. */
export class LlamaAttention<Config extends LlamaConfig = LlamaConfig> extends SelfAttention<Config> {
  readonly q_proj = this.projection(this.config.hidden_size, this.config.num_attention_heads * this.config.head_dim);
  readonly k_proj = this.projection(this.config.hidden_size, this.config.num_key_value_heads * this.config.head_dim);
  readonly v_proj = this.projection(this.config.hidden_size, this.config.num_key_value_heads * this.config.head_dim);
  readonly o_proj = this.projection(this.config.num_attention_heads * this.config.head_dim, this.config.hidden_size);

  protected override project(x: Node): Projected {
    return [this.q_proj.call(x), this.k_proj.call(x), this.v_proj.call(x)];
  }

  protected override projectOut(x: Node): Node {
    return this.o_proj.call(x);
  }

  protected projection(inFeatures: number, outFeatures: number): Linear {
    return new Linear(inFeatures, outFeatures, { bias: this.config.attention_bias });
  }
}

/** x + attention(norm(x)), then h + feed(norm(h)), whatever the feed-forward is called. */
export abstract class RotaryDecoderLayer<Config extends LlamaConfig = LlamaConfig> extends Module<Config> {
  readonly self_attn = this.attention();
  readonly input_layernorm = new LlamaRMSNorm(this.config.hidden_size, this.config.rms_norm_eps);
  readonly post_attention_layernorm = new LlamaRMSNorm(this.config.hidden_size, this.config.rms_norm_eps);

  forward(x: Node, mask: Node | null, rotaryTable: Node): Node {
    const h = add(x, this.self_attn.call(this.input_layernorm.call(x), mask, rotaryTable));
    return add(h, this.feed(this.post_attention_layernorm.call(h))); // [batch, seq, hidden]
  }

  protected attention(): SelfAttention {
    return new LlamaAttention(this.config);
  }

  /** Calls the feed-forward. */
  protected abstract feed(x: Node): Node;
}

/** A layer whose feed-forward is called `mlp`. */
export class LlamaDecoderLayer<Config extends LlamaConfig = LlamaConfig> extends RotaryDecoderLayer<Config> {
  readonly mlp = this.feedForward();

  protected override feed(x: Node): Node {
    return this.mlp.call(x);
  }

  protected feedForward(): FeedForward {
    return new LlamaMLP(this.config);
  }
}

/** Embedding, decoder layers, final norm. */
export class LlamaModel<Config extends LlamaConfig = LlamaConfig> extends Module<Config> {
  readonly embed_tokens = new Embedding(this.config.vocab_size, this.config.hidden_size);
  readonly layers = Array.from({ length: this.config.num_hidden_layers }, (_, index) => this.layer(index));
  readonly norm = new LlamaRMSNorm(this.config.hidden_size, this.config.rms_norm_eps);
  readonly rotary_emb = new LlamaRotaryEmbedding(this.config);

  forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): Node {
    const embedded = this.embed_tokens.call(inputIds);
    const masks = this.masks(inputIds, attentionMask);
    const tables = this.rotaryTables(positions ?? positionIds(inputIds));
    const hidden = this.layers.reduce((x, layer, index) => layer.call(x, masks[index], tables[index]), embedded);
    return this.norm.call(hidden); // [batch, seq, hidden]
  }

  /** The decoder layer at `index`. */
  protected layer(_index: number): RotaryDecoderLayer {
    return new LlamaDecoderLayer(this.config);
  }

  /** The rotary table of each layer. */
  protected rotaryTables(positions: Node): Node[] {
    const table = this.rotary_emb.call(positions);
    return this.layers.map(() => table);
  }

  /** Sliding window of the layer at `index`; null where it sees the whole text. */
  protected window(_index: number): number | null {
    return null;
  }

  /** The mask of each layer; layers with equal windows share one. */
  protected masks(inputIds: Node, attentionMask: Node | null): (Node | null)[] {
    const byWindow = new Map<number | null, Node | null>();
    return this.layers.map((_, index) => {
      const window = this.window(index);
      const known = byWindow.get(window);
      const mask = known === undefined ? layerMask(inputIds, attentionMask, window) : known;
      byWindow.set(window, mask);
      return mask;
    });
  }
}

/** Decoder and last projection; the two share the embedding's weight where the configuration ties them. */
export class LlamaForCausalLM<Config extends LlamaConfig = LlamaConfig> extends CausalLM<Config> {
  override readonly noSplitModules: readonly string[] = ["LlamaDecoderLayer"];
  readonly model = this.decoder();
  override readonly lm_head = new Linear(this.config.hidden_size, this.config.vocab_size);

  constructor(config: Config) {
    super(config);
    if (config.tie_word_embeddings) this.lm_head.weight = this.model.embed_tokens.weight;
  }

  override forward(inputIds: Node, attentionMask: Node | null, positions: Node | null): { logits: Node } {
    return { logits: this.lm_head.call(this.model.call(inputIds, attentionMask, positions)) };
  }

  protected decoder(): LlamaModel {
    return new LlamaModel(this.config);
  }
}

/** Llama (arXiv:2302.13971), all variants of rotary scaling. */
export const llama = defineFamily("llama", llamaConfig, (config) => new LlamaForCausalLM(config));
