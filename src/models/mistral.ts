import type { z } from "zod";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { LlamaDecoderLayer, LlamaForCausalLM, LlamaModel, llamaLikeConfig, type RotaryDecoderLayer } from "./llama.ts";

const mistralConfig = llamaLikeConfig({ sliding_window: count.nullable().default(4096) });

/** Mistral's configuration with what it leaves open filled in. */
type MistralConfig = z.infer<typeof mistralConfig>;

/** A Llama layer under Mistral's class name. */
class MistralDecoderLayer extends LlamaDecoderLayer {}

/** Every layer sees a sliding window. */
export class MistralModel<Config extends MistralConfig = MistralConfig> extends LlamaModel<Config> {
  protected override layer(): RotaryDecoderLayer {
    return new MistralDecoderLayer(this.config);
  }

  protected override window(): number | null {
    return this.config.sliding_window;
  }
}

/** Decoder and last projection. */
export class MistralForCausalLM<Config extends MistralConfig = MistralConfig> extends LlamaForCausalLM<Config> {
  override readonly noSplitModules: readonly string[] = ["MistralDecoderLayer"];

  protected override decoder(): LlamaModel {
    return new MistralModel(this.config);
  }
}

/** Mistral (arXiv:2310.06825): a Llama whose layers see a sliding window. */
export const mistral = defineFamily("mistral", mistralConfig, (config) => new MistralForCausalLM(config));
