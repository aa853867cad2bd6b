import type { Node } from "../fx/node.ts";
import { normHeads, type Projected, type SelfAttention } from "../nn/attention.ts";
import { RMSNorm } from "../nn/norm.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { LlamaAttention, LlamaDecoderLayer, llamaLikeConfig } from "./llama.ts";
import { Qwen2ForCausalLM, Qwen2Model, qwen2Fields } from "./qwen2.ts";

const qwen3Config = llamaLikeConfig({ ...qwen2Fields, head_dim: count.default(128) });

/** The norm under the class name that recipes may target. */
class Qwen3RMSNorm extends RMSNorm {}

/** Each head of the queries and keys is normed before it is rotated. */
export class Qwen3Attention extends LlamaAttention {
  readonly q_norm = new Qwen3RMSNorm(this.config.head_dim, this.config.rms_norm_eps);
  readonly k_norm = new Qwen3RMSNorm(this.config.head_dim, this.config.rms_norm_eps);

  protected override project(x: Node): Projected {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads } = this.config;
    const [q, k, v] = super.project(x);
    return [normHeads(q, this.q_norm, heads), normHeads(k, this.k_norm, kvHeads), v];
  }
}

/** A Llama layer with Qwen3's attention. */
class Qwen3DecoderLayer extends LlamaDecoderLayer {
  protected override attention(): SelfAttention {
    return new Qwen3Attention(this.config);
  }
}

/** Some layers see a sliding window, as in Qwen2. */
class Qwen3Model extends Qwen2Model {
  protected override layer(): LlamaDecoderLayer {
    return new Qwen3DecoderLayer(this.config);
  }
}

/** Decoder and last projection. */
class Qwen3ForCausalLM extends Qwen2ForCausalLM {
  override readonly noSplitModules = ["Qwen3DecoderLayer"];

  protected override decoder(): Qwen3Model {
    return new Qwen3Model(this.config);
  }
}

/** Qwen3 (arXiv:2505.09388): Qwen2 with norms on queries and keys in place of biases. */
export const qwen3 = defineFamily("qwen3", qwen3Config, (config) => new Qwen3ForCausalLM(config));
