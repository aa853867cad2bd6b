import { z } from "zod";
import type { SelfAttention } from "../nn/attention.ts";
import { Linear } from "../nn/linear.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import {
  LlamaAttention,
  type LlamaConfig,
  LlamaDecoderLayer,
  LlamaForCausalLM,
  LlamaModel,
  layerTypes,
  llamaLikeConfig,
  type RotaryDecoderLayer,
} from "./llama.ts";

/** Keys of Qwen2's config.json that Llama's lacks. */
export const qwen2Fields = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: count.nullable().default(4096),
  max_window_layers: z.number().int().nonnegative().default(28),
  layer_types: layerTypes,
};

const qwen2Config = llamaLikeConfig(qwen2Fields);

/** Qwen2's configuration with what it leaves open filled in. */
type Qwen2Config = z.infer<typeof qwen2Config>;

/** Biases on queries, keys and values, none on the output. */
export class Qwen2Attention<Config extends LlamaConfig = LlamaConfig> extends LlamaAttention<Config> {
  protected override projection(inFeatures: number, outFeatures: number): Linear {
    return new Linear(inFeatures, outFeatures, { bias: true });
  }

  override readonly o_proj = new Linear(
    this.config.num_attention_heads * this.config.head_dim,
    this.config.hidden_size,
  );
}

/** A Llama layer with Qwen2's biases. */
class Qwen2DecoderLayer extends LlamaDecoderLayer {
  protected override attention(): SelfAttention {
    return new Qwen2Attention(this.config);
  }
}

/** Some layers see a sliding window. */
export class Qwen2Model<Config extends Qwen2Config = Qwen2Config> extends LlamaModel<Config> {
  protected override layer(_index: number): RotaryDecoderLayer {
    return new Qwen2DecoderLayer(this.config);
  }

  /** Layers from `max_window_layers` on slide, where sliding is on; `layer_types` overrules. */
  protected override window(index: number): number | null {
    const { use_sliding_window, sliding_window, max_window_layers, layer_types } = this.config;
    const slides = layer_types ? layer_types[index] === "sliding_attention" : index >= max_window_layers;
    return use_sliding_window && slides ? sliding_window : null;
  }
}

/** Decoder and last projection. */
export class Qwen2ForCausalLM<Config extends Qwen2Config = Qwen2Config> extends LlamaForCausalLM<Config> {
  override readonly noSplitModules: readonly string[] = ["Qwen2DecoderLayer"];

  protected override decoder(): LlamaModel {
    return new Qwen2Model(this.config);
  }
}

/** Qwen2 (arXiv:2407.10671). */
export const qwen2 = defineFamily("qwen2", qwen2Config, (config) => new Qwen2ForCausalLM(config));
