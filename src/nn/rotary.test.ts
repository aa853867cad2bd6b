import { expect, test } from "vitest";
import { Tracer } from "../fx/tracer.ts";
import { i64 } from "../fx/types.ts";
import { type RopeParameters, ropeParameters } from "./rope-config.ts";
import { RotaryEmbedding } from "./rotary.ts";

const factors = { short_factor: [1, 1, 1, 1], long_factor: [2, 2, 2, 2] };

test("a rotary embedding reads its frequencies as a buffer", () => {
  expect(traced(rope({ rope_type: "linear", factor: 2 }))).toMatchInlineSnapshot(`
    "%positions: I64[1,seq] = placeholder[positions]()
    %inv_freq: F32[4] = get_attr[inv_freq]()
    %rotary_table: (F32[1,seq,4], F32[1,seq,4]) = call_function[rotary_table](%positions, %inv_freq, scaling=1)
    return %rotary_table"
  `);
});

test("LongRoPE chooses among two buffers by the length of the text", () => {
  const longrope = rope({
    rope_type: "longrope",
    original_max_position_embeddings: 16,
    attention_factor: 1.5,
    ...factors,
  });
  expect(traced(longrope)).toMatchInlineSnapshot(`
    "%positions: I64[1,seq] = placeholder[positions]()
    %inv_freq: F32[4] = get_attr[inv_freq]()
    %long_inv_freq: F32[4] = get_attr[long_inv_freq]()
    %select_frequencies: F32[4] = call_function[select_frequencies](%positions, %inv_freq, %long_inv_freq, beyond=16)
    %rotary_table: (F32[1,seq,4], F32[1,seq,4]) = call_function[rotary_table](%positions, %select_frequencies, scaling=1.5)
    return %rotary_table"
  `);
});

test("dynamic scaling computes its frequencies from the length of the text", () => {
  expect(traced(rope({ rope_type: "dynamic", factor: 2 }))).toMatchInlineSnapshot(`
    "%positions: I64[1,seq] = placeholder[positions]()
    %dynamic_frequencies: F32[4] = call_function[dynamic_frequencies](%positions, base=10000, size=8, factor=2, maxPositions=64)
    %rotary_table: (F32[1,seq,4], F32[1,seq,4]) = call_function[rotary_table](%positions, %dynamic_frequencies, scaling=1)
    return %rotary_table"
  `);
});

test("with partial_rotary_factor, only the first columns of a head have angles", () => {
  expect(traced(rope({ rope_type: "default", partial_rotary_factor: 0.5 }))).toContain("(F32[1,seq,2], F32[1,seq,2])");
});

test("the frequencies are in no checkpoint: a buffer loads what follows from the configuration", async () => {
  const embedding = embeddingOf(rope({ rope_type: "default" }));
  const values = await embedding.inv_freq.load();
  expect([...values.data]).toEqual([1, Math.fround(0.1), Math.fround(0.01), Math.fround(0.001)]);
});

function rope(parameters: Record<string, unknown>): RopeParameters {
  return ropeParameters.parse(parameters);
}

function embeddingOf(rope_parameters: RopeParameters): RotaryEmbedding {
  return new RotaryEmbedding({ head_dim: 8, max_position_embeddings: 64, rope_parameters });
}

function traced(parameters: RopeParameters): string {
  return String(new Tracer().trace(embeddingOf(parameters), { positions: i64(1, "seq") }));
}
