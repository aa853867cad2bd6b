import type { Node } from "../fx/node.ts";
import { type Projected, SelfAttention } from "../nn/attention.ts";
import type { FeedForward } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { standardizeRope } from "../nn/rope-config.ts";
import { mul, silu } from "../ops/arithmetic.ts";
import { columns } from "../ops/heads.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { type LlamaConfig, LlamaDecoderLayer, llamaLikeConfig } from "./llama.ts";
import { MistralForCausalLM, MistralModel } from "./mistral.ts";

const phi3Config = llamaLikeConfig({ sliding_window: count.nullable().default(null) });

/** Gated feed-forward whose gate and up projections are one. */
class Phi3MLP extends Module<LlamaConfig> {
  readonly gate_up_proj = new Linear(this.config.hidden_size, 2 * this.config.intermediate_size);
  readonly down_proj = new Linear(this.config.intermediate_size, this.config.hidden_size);

  forward(x: Node): Node {
    const size = this.config.intermediate_size;
    const fused = this.gate_up_proj.call(x); // [batch, seq, 2 · intermediate]
    const [gate, up] = [columns(fused, { begin: 0, end: size }), columns(fused, { begin: size, end: 2 * size })];
    return this.down_proj.call(mul(silu(gate), up));
  }
}

/** Attention whose query, key and value projections are one. */
class Phi3Attention extends SelfAttention<LlamaConfig> {
  readonly #width = this.config.num_attention_heads * this.config.head_dim;
  readonly #kvWidth = this.config.num_key_value_heads * this.config.head_dim;
  readonly o_proj = new Linear(this.#width, this.config.hidden_size);
  readonly qkv_proj = new Linear(this.config.hidden_size, this.#width + 2 * this.#kvWidth);

  protected override project(x: Node): Projected {
    const [width, end] = [this.#width, this.#width + this.#kvWidth];
    const fused = this.qkv_proj.call(x); // [batch, seq, (heads + 2 · kvHeads) · head_dim]
    return [
      columns(fused, { begin: 0, end: width }),
      columns(fused, { begin: width, end }),
      columns(fused, { begin: end, end: end + this.#kvWidth }),
    ];
  }

  protected override projectOut(x: Node): Node {
    return this.o_proj.call(x);
  }
}

/** A Llama layer with fused projections. */
class Phi3DecoderLayer extends LlamaDecoderLayer {
  protected override attention(): SelfAttention {
    return new Phi3Attention(this.config);
  }

  protected override feedForward(): FeedForward {
    return new Phi3MLP(this.config);
  }
}

/** Every layer sees a sliding window, where there is one. */
class Phi3Model extends MistralModel {
  protected override layer(): LlamaDecoderLayer {
    return new Phi3DecoderLayer(this.config);
  }
}

/** Decoder and last projection. */
class Phi3ForCausalLM extends MistralForCausalLM {
  override readonly noSplitModules = ["Phi3DecoderLayer"];

  protected override decoder(): Phi3Model {
    return new Phi3Model(this.config);
  }
}

/** The first files of Phi-3 call LongRoPE "su" or "yarn". */
function standardizePhi3Rope(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { rope_parameters, ...rest } = standardizeRope(config);
  const given = rope_parameters as Record<string, unknown>;
  return { ...rest, rope_parameters: given.rope_type === "yarn" ? { ...given, rope_type: "longrope" } : given };
}

/** Phi-3 (arXiv:2404.14219) and Phi-4: a Llama with fused projections; some of the columns of a head may stay unrotated. */
export const phi3 = defineFamily("phi3", phi3Config, (config) => new Phi3ForCausalLM(config), standardizePhi3Rope);
