import type { z } from "zod";
import type { Node } from "../fx/node.ts";
import { Router, SparseMoeBlock } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { standardizeRope } from "../nn/rope-config.ts";
import { mul, silu } from "../ops/arithmetic.ts";
import { count } from "./config.ts";
import { defineFamily } from "./family.ts";
import { llamaLikeConfig, RotaryDecoderLayer } from "./llama.ts";
import { MistralForCausalLM, MistralModel } from "./mistral.ts";

const mixtralConfig = llamaLikeConfig({
  sliding_window: count.nullable().default(null),
  num_local_experts: count.default(8),
  num_experts_per_tok: count.default(2),
});

type MixtralConfig = z.infer<typeof mixtralConfig>;

/** Gated feed-forward: w2(silu(w1(x)) · w3(x)). */
class MixtralExpert extends Module<MixtralConfig> {
  readonly w1 = new Linear(this.config.hidden_size, this.config.intermediate_size);
  readonly w2 = new Linear(this.config.intermediate_size, this.config.hidden_size);
  readonly w3 = new Linear(this.config.hidden_size, this.config.intermediate_size);

  forward(x: Node): Node {
    return this.w2.call(mul(silu(this.w1.call(x)), this.w3.call(x)));
  }
}

/** Experts whose weights for a token add up to 1. */
class MixtralSparseMoeBlock extends SparseMoeBlock<MixtralConfig> {
  readonly gate = new Router({
    hidden_size: this.config.hidden_size,
    experts: this.config.num_local_experts,
    topK: this.config.num_experts_per_tok,
    normalize: true,
  });
  readonly experts = Array.from({ length: this.config.num_local_experts }, () => new MixtralExpert(this.config));
}

/** A Mistral layer with experts. */
class MixtralDecoderLayer extends RotaryDecoderLayer<MixtralConfig> {
  readonly block_sparse_moe = new MixtralSparseMoeBlock(this.config);

  protected override feed(x: Node): Node {
    return this.block_sparse_moe.call(x);
  }
}

/** Every layer sees a sliding window, where there is one. */
class MixtralModel extends MistralModel<MixtralConfig> {
  protected override layer(): RotaryDecoderLayer {
    return new MixtralDecoderLayer(this.config);
  }
}

/** Decoder and last projection. */
class MixtralForCausalLM extends MistralForCausalLM<MixtralConfig> {
  override readonly noSplitModules = ["MixtralDecoderLayer"];

  protected override decoder(): MixtralModel {
    return new MixtralModel(this.config);
  }
}

/** Mixtral (arXiv:2401.04088): a Mistral with experts in place of each feed-forward. */
export const mixtral = defineFamily(
  "mixtral",
  mixtralConfig,
  (config) => new MixtralForCausalLM(config),
  (config) => standardizeRope({ rope_theta: 1_000_000, ...config }),
);
