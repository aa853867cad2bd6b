import { expect, test } from "vitest";
import { Gemma3TextModel } from "./gemma3_text.ts";
import { createModel } from "./registry.ts";

const size = { vocab_size: 32, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4 };

test.each<[config: Record<string, unknown>, global: object, local: object]>([
  [{}, { rope_theta: 1_000_000 }, { rope_theta: 10_000 }],
  [
    { rope_theta: 500, rope_local_base_freq: 20, rope_scaling: { rope_type: "linear", factor: 8 } },
    { rope_theta: 500, rope_type: "linear", factor: 8 },
    { rope_theta: 20, rope_type: "default" },
  ],
  [
    { rope_parameters: { full_attention: { rope_type: "linear", factor: 8, rope_theta: 7 }, sliding_attention: {} } },
    { rope_theta: 7, rope_type: "linear", factor: 8 },
    { rope_theta: 10_000, rope_type: "default" },
  ],
])("%o gives each kind of layer its angles", (config, global, local) => {
  const model = createModel({ model_type: "gemma3_text", ...size, ...config });
  const [, decoder] = model.namedModules()[1];
  if (!(decoder instanceof Gemma3TextModel)) throw new TypeError("expected the decoder first");
  expect(decoder.rotary_emb.config.rope_parameters).toMatchObject(global);
  expect(decoder.rotary_emb_local.config.rope_parameters).toMatchObject(local);
});
