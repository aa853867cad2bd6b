import type { z } from "zod";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { LlamaDecoderLayer, LlamaForCausalLM, LlamaModel, llamaLikeConfig } from "./llama.ts";

const mistralConfig = llamaLikeConfig({ sliding_window: count.nullable().default(4096) });

type MistralConfig = z.infer<typeof mistralConfig>;

/** A Llama layer under Mistral's class name. */
export class MistralDecoderLayer extends LlamaDecoderLayer {}

/** Every layer sees a sliding window. */
export class MistralModel extends LlamaModel<MistralConfig> {
  protected override layer(): LlamaDecoderLayer {
    return new MistralDecoderLayer(this.config);
  }

  protected override window(): number | null {
    return this.config.sliding_window;
  }
}

/** Decoder and last projection. */
export class MistralForCausalLM extends LlamaForCausalLM<MistralConfig> {
  override readonly noSplitModules = ["MistralDecoderLayer"];

  protected override decoder(): LlamaModel {
    return new MistralModel(this.config);
  }
}

/** Mistral (arXiv:2310.06825): a Llama whose layers see a sliding window. */
export const mistral = defineFamily("mistral", mistralConfig, (config) => new MistralForCausalLM(config));
