import { expect, test } from "vitest";
import { loadFixtureModel } from "../../../test/fixture-model.ts";
import type { Graph } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import { halfPrecision } from "./precision.ts";
import { traceDecoder } from "./trace-decoder.ts";

const llama = traceDecoder(loadFixtureModel("llama"));

function callOf(decoder: Graph, modulePath: string): Node {
  return decoder.nodes.find((node) => node.modulePath === modulePath && node.op === "call_function") as Node;
}

test("where no value is large, all but angles and masks is computed in float16", () => {
  const { half, kept } = halfPrecision(llama, () => 1);
  const full = llama.nodes.filter((node) => node.op === "call_function" && !half.has(node));
  expect(new Set(full.map(({ targetName }) => targetName))).toEqual(new Set(["getitem", "cache_bias", "rotary_table"]));
  expect(kept).toHaveLength(0);
});

test("a value past the limit is computed in float32, and so is what reads it", () => {
  const large = callOf(llama, "model.layers.1.mlp.down_proj");
  const { half, kept } = halfPrecision(llama, (node) => (node === large ? 70_000 : 1));
  expect(kept.map(({ name }) => name)).toEqual([large, ...large.users].map(({ name }) => name));
  expect(half.has(callOf(llama, "model.layers.1.mlp.up_proj"))).toBe(true);
});

test("nodes that share a weight are computed alike", () => {
  const decoder = traceDecoder(loadFixtureModel("qwen2")); // its embeddings are tied
  const embedding = callOf(decoder, "model.embed_tokens");
  const head = callOf(decoder, "lm_head");
  expect(embedding.inputs[1] === head.inputs[1]).toBe(true);
  const { kept } = halfPrecision(decoder, (node) => (node === head ? 70_000 : 1));
  expect(kept.includes(embedding)).toBe(true);
});
