import { describe, expect, test } from "vitest";
import { ConfigError } from "../errors.ts";
import { createModel, MODEL_FAMILIES } from "./registry.ts";

const config = {
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

const noNumber = (found: string) => `${found}, expected a number`;

/** Families whose config.json has Llama's keys, and those among them whose heads share the hidden size by default. */
const LLAMA_LIKE = ["llama", "mistral", "qwen2", "qwen3", "phi3", "mixtral"];
const SHARE_HIDDEN_SIZE = ["llama", "mistral", "qwen2", "phi3", "mixtral"];

describe.each(LLAMA_LIKE)("%s", (model_type) => {
  test.each<[changes: Record<string, unknown>, problem: string]>([
    [{ hidden_size: undefined }, `hidden_size: ${noNumber("missing")}`],
    [
      { vocab_size: undefined, num_hidden_layers: null },
      `vocab_size: ${noNumber("missing")}; num_hidden_layers: ${noNumber("found null")}`,
    ],
    [{ hidden_size: "16" }, `hidden_size: ${noNumber('found "16"')}`],
    [{ hidden_size: 16.5 }, "hidden_size: found 16.5, expected an integer"],
    [{ hidden_size: -16 }, "hidden_size: found -16, expected more than 0"],
    [{ intermediate_size: 0 }, "intermediate_size: found 0, expected more than 0"],
    [{ vocab_size: 2 ** 40 }, "vocab_size: found 1099511627776, expected at most 2147483648"],
    [{ rms_norm_eps: 0 }, "rms_norm_eps: found 0, expected more than 0"],
    [{ hidden_act: "gelu" }, 'hidden_act: found "gelu", expected "silu"'],
    [{ tie_word_embeddings: "yes" }, 'tie_word_embeddings: found "yes", expected true or false'],
    [{ num_key_value_heads: 3 }, "num_attention_heads: 4, expected a multiple of num_key_value_heads 3"],
    [{ num_key_value_heads: 8 }, "num_attention_heads: 4, expected a multiple of num_key_value_heads 8"],
    [{ head_dim: 5 }, "head_dim: 5, expected an even number"],
    [
      { rope_scaling: { type: "spiral" } },
      'rope_parameters.rope_type: "spiral", expected one of: default, linear, dynamic, llama3, yarn, longrope',
    ],
    [{ rope_scaling: { type: "linear" } }, `rope_parameters.factor: ${noNumber("missing")}`],
    [{ rope_theta: "big" }, `rope_parameters.rope_theta: ${noNumber('found "big"')}`],
  ])("%o is an error that names the key", (changes, problem) => {
    expect(() => createModel({ model_type, ...config, ...changes }, { where: "tiny/config.json" })).toThrow(
      new ConfigError(`tiny/config.json: ${problem}. Correct these values.`),
    );
  });
});

describe.each(LLAMA_LIKE.filter((type) => type !== "phi3"))("%s", (model_type) => {
  test("heads of another size than their share of the hidden size are allowed", () => {
    const model = createModel({ model_type, ...config, hidden_size: 18, head_dim: 8 });
    const shapes = new Map(model.namedParameters().map(([path, { shape }]) => [path, shape]));
    expect(shapes.get("model.layers.0.self_attn.q_proj.weight")).toEqual([32, 18]);
    expect(shapes.get("model.layers.0.self_attn.k_proj.weight")).toEqual([16, 18]);
    expect(shapes.get("model.layers.0.self_attn.o_proj.weight")).toEqual([18, 32]);
  });
});

test.each<[changes: Record<string, unknown>, found: string]>([
  [{ num_hidden_layers: 1e9 }, "num_hidden_layers 1000000000"],
  [{ num_hidden_layers: 4097 }, "num_hidden_layers 4097"],
  [{ n_layer: 4097 }, "num_hidden_layers 2, n_layer 4097"],
  [{ num_local_experts: 1e9 }, "num_hidden_layers 2, num_local_experts 1000000000"],
  [
    { num_hidden_layers: 300, n_routed_experts: 300, n_shared_experts: 1 },
    "num_hidden_layers 300, n_routed_experts 300, n_shared_experts 1",
  ],
])("%o is refused before any module is made", (changes, found) => {
  expect(() => createModel({ ...config, model_type: "llama", ...changes })).toThrow(
    new ConfigError(
      `config.json: ${found}, expected at most 4096 layers, and 65536 experts in all of them. Correct these values.`,
    ),
  );
});

test("heads too wide for a table of frequencies are refused", () => {
  expect(() => createModel({ ...config, model_type: "llama", head_dim: 2 ** 31 })).toThrow(
    new ConfigError("head_dim: 2147483648, expected at most 65536. Correct it in config.json."),
  );
});

describe.each(SHARE_HIDDEN_SIZE)("%s", (model_type) => {
  test.each<[changes: Record<string, unknown>, problem: string]>([
    [{ hidden_size: 18 }, "hidden_size: 18, expected a multiple of num_attention_heads 4"],
    [{ hidden_size: 12 }, "head_dim: 3, expected an even number"],
  ])("%o does not make whole heads", (changes, problem) => {
    expect(() => createModel({ model_type, ...config, ...changes })).toThrow(
      new ConfigError(`config.json: ${problem}. Correct these values.`),
    );
  });
});

test("a model_type that is not known is an error that lists the known ones", () => {
  const known = MODEL_FAMILIES.map(({ modelType }) => modelType).join(", ");
  expect(() => createModel({ ...config, model_type: "bert" })).toThrow(
    new ConfigError(`config.json: model_type "bert", expected one of: ${known}.`),
  );
  expect(() => createModel(config)).toThrow(
    new ConfigError(`config.json: model_type undefined, expected one of: ${known}.`),
  );
});

test("Qwen2's layer_types must name every layer", () => {
  expect(() => createModel({ ...config, model_type: "qwen2", layer_types: ["full_attention"] })).toThrow(
    new ConfigError(
      "config.json: layer_types: 1 values, expected one for each of num_hidden_layers 2. Correct these values.",
    ),
  );
});

test("OPT's embeddings must be as wide as its layers", () => {
  const opt = { ...config, model_type: "opt", ffn_dim: 24, word_embed_proj_dim: 8 };
  expect(() => createModel(opt)).toThrow(
    "config.json: word_embed_proj_dim: 8, expected hidden_size 16: embeddings of another width are not supported.",
  );
  expect(() => createModel({ ...opt, word_embed_proj_dim: 16, do_layer_norm_before: false })).toThrow(
    "do_layer_norm_before: found false, expected true.",
  );
});

test.each([
  [{ model_type: "gpt2", n_embd: 18, n_head: 4, n_layer: 2 }, "n_embd: 18, expected a multiple of n_head 4"],
  [{ model_type: "gpt_neox", hidden_size: 18 }, "hidden_size: 18, expected a multiple of num_attention_heads 4"],
])("%o does not make whole heads", (changes, problem) => {
  expect(() => createModel({ ...config, ...changes })).toThrow(problem);
});

test("Mistral's sliding window is a positive number of tokens", () => {
  expect(() => createModel({ ...config, model_type: "mistral", sliding_window: 0 })).toThrow(
    new ConfigError("config.json: sliding_window: found 0, expected more than 0. Correct these values."),
  );
});
