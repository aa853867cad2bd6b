import { expect, test } from "vitest";
import { Tracer } from "../fx/tracer.ts";
import { i64 } from "../fx/types.ts";
import { Buffer } from "../nn/parameter.ts";
import type { CausalLM } from "./causal-lm.ts";
import { createModel } from "./registry.ts";

const config = {
  model_type: "llama",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

test("parameters have the names and shapes of a Hugging Face checkpoint", () => {
  expect(weightsOf(createModel(config))).toEqual({
    "model.embed_tokens.weight": [32, 16],
    "model.layers.0.self_attn.q_proj.weight": [16, 16],
    "model.layers.0.self_attn.k_proj.weight": [8, 16],
    "model.layers.0.self_attn.v_proj.weight": [8, 16],
    "model.layers.0.self_attn.o_proj.weight": [16, 16],
    "model.layers.0.mlp.gate_proj.weight": [24, 16],
    "model.layers.0.mlp.up_proj.weight": [24, 16],
    "model.layers.0.mlp.down_proj.weight": [16, 24],
    "model.layers.0.input_layernorm.weight": [16],
    "model.layers.0.post_attention_layernorm.weight": [16],
    "model.norm.weight": [16],
    "lm_head.weight": [32, 16],
  });
});

test("attention_bias and mlp_bias add a bias to each projection of their block", () => {
  const biases = (changes: object) =>
    Object.keys(weightsOf(createModel({ ...config, ...changes }))).filter((path) => path.endsWith(".bias"));
  expect(biases({})).toEqual([]);
  expect(biases({ attention_bias: true })).toEqual(
    ["q_proj", "k_proj", "v_proj", "o_proj"].map((name) => `model.layers.0.self_attn.${name}.bias`),
  );
  expect(biases({ mlp_bias: true })).toEqual(
    ["gate_proj", "up_proj", "down_proj"].map((name) => `model.layers.0.mlp.${name}.bias`),
  );
});

test.each(["llama", "mistral", "qwen2"])(
  "tied embeddings of %s are one parameter under its first name",
  (model_type) => {
    const tied = createModel({ ...config, model_type, tie_word_embeddings: true });
    const names = new Map(tied.namedParameters().map(([path, parameter]) => [parameter, path]));
    expect(names.get(tied.lm_head.weight)).toBe("model.embed_tokens.weight");
    expect(Object.keys(weightsOf(tied))).not.toContain("lm_head.weight");

    const untied = createModel({ ...config, model_type, tie_word_embeddings: false });
    expect(Object.keys(weightsOf(untied))).toContain("lm_head.weight");
  },
);

test("without num_key_value_heads every head has its own", () => {
  const model = createModel({ ...config, num_key_value_heads: undefined });
  expect(weightsOf(model)["model.layers.0.self_attn.k_proj.weight"]).toEqual([16, 16]);
});

test("the mask and the rotary table are made once, whatever the number of layers", () => {
  const model = createModel({ ...config, num_hidden_layers: 3 });
  const graph = new Tracer().trace(
    model,
    { input_ids: i64("batch", "seq"), attention_mask: i64("batch", "seq") },
    { position_ids: null, use_cache: false },
  );
  const made = graph.nodes.map(({ targetName }) => targetName);
  expect(made.filter((name) => name === "causal_mask")).toHaveLength(1);
  expect(made.filter((name) => name === "rotary_table")).toHaveLength(1);
  expect(made.filter((name) => name === "attention")).toHaveLength(3);
});

test("a decoder layer names the class that a partition must not cut", () => {
  const noSplit = ["llama", "mistral", "qwen2"].map(
    (model_type) => createModel({ ...config, model_type }).noSplitModules,
  );
  expect(noSplit).toEqual([["LlamaDecoderLayer"], ["MistralDecoderLayer"], ["Qwen2DecoderLayer"]]);
});

function weightsOf(model: CausalLM): Record<string, readonly number[]> {
  const weights = model.namedParameters().filter(([, parameter]) => !(parameter instanceof Buffer));
  return Object.fromEntries(weights.map(([path, { shape }]) => [path, shape]));
}
