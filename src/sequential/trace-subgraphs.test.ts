import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FIXTURE_MODELS, loadFixtureModel } from "../../test/fixture-model.ts";
import { TraceError } from "../errors.ts";
import type { Node } from "../fx/node.ts";
import { Linear } from "../nn/linear.ts";
import { matchModules } from "../nn/match.ts";
import { Module } from "../nn/module.ts";
import type { PartitionOptions } from "./partition.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

const readJson = (path: string) =>
  JSON.parse(readFileSync(new URL(`../../test/fixtures/${path}`, import.meta.url), "utf8"));
const tokens = { dtype: "I64", shape: [2, 12] } as const;
const sample = { input_ids: tokens, attention_mask: tokens };

interface ReferenceNode {
  readonly op: string;
  readonly name: string;
  readonly target: string;
  readonly inputs: readonly string[];
}

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const model = loadFixtureModel(name);
  const reference: { nodes: ReferenceNode[]; input_names: string[]; consumed_names: string[] }[] = readJson(
    `models/${name}/subgraphs.json`,
  ).subgraphs;
  const subgraphs = traceSubgraphs(model, sample, model.noSplitModules);

  const targets = matchModules(model, model.noSplitModules);
  const paths = new Set(model.namedModules().flatMap(([path, module]) => (targets.has(module) ? [path] : [])));

  test("has the reference's sequential targets", () => {
    expect(model.noSplitModules).toEqual(readJson(`models/${name}/subgraphs.json`).sequential_targets);
  });

  test("is cut into as many subgraphs as by the reference, each with the same target", () => {
    const found = subgraphs.map(({ calledModules }) => calledModules.filter((path) => paths.has(path)));
    expect(found).toEqual(
      reference.map(({ nodes }) =>
        nodes.filter(({ op, target }) => op === "call_module" && paths.has(target)).map(({ target }) => target),
      ),
    );
  });

  test("the inputs of each decoder layer are what the reference's are: hidden states, mask, rotary table", () => {
    let compared = 0;
    for (const [index, { nodes }] of reference.entries()) {
      const layer = nodes.find(({ op, target }) => op === "call_module" && paths.has(target));
      if (!layer) continue;
      const ours = subgraphs[index].graph.nodes.find(({ targetName }) => targetName === layer.target);
      const read = ours?.inputs.map((input) => OUR_VALUES[input.name] ?? input.name);
      const theirs = { ...REFERENCE_VALUES, ...REFERENCE_VALUES_OF[name] };
      const given = layer.inputs.map((input) => (input in theirs ? theirs[input] : input));
      expect(new Set(read)).toEqual(new Set(given.filter((value) => value !== null)));
      compared++;
    }
    expect(compared).toBe(paths.size);
  });

  test("everything that is read is consumed by its last reader", () => {
    for (const [index, { consumedNames, inputNames }] of subgraphs.entries()) {
      for (const input of inputNames) {
        const readLater = subgraphs.slice(index + 1).some((later) => later.inputNames.has(input));
        expect(consumedNames.has(input)).toBe(!readLater);
      }
    }
  });
});

/** What our values are, where the name does not say it as the reference's does. */
const OUR_VALUES: Record<string, string> = {
  model_embed_tokens: "embedding",
  gpt_neox_embed_in: "embedding",
  add: "embedding",
  causal_mask: "mask",
  causal_mask_1: "mask",
  model_rotary_emb_local: "angles of sliding layers",
};

/** What the reference's values are; null for what layers get and do not read. */
const REFERENCE_VALUES: Record<string, string | null> = {
  getitem: "embedding",
  getitem_2: null,
  ...Object.fromEntries(
    ["wrapped_4", "getitem_5", "getitem_6", "getitem_7", "getitem_8"].map((name) => [name, "mask"]),
  ),
  create_causal_mask: "mask",
  create_sliding_window_causal_mask: "mask",
};

/** Names that stand for something else in one family. */
const REFERENCE_VALUES_OF: Record<string, Record<string, string | null>> = {
  gemma3: { model_rotary_emb: "angles of sliding layers", model_rotary_emb_1: "model_rotary_emb" },
  gpt2: { transformer_drop: "embedding", wrapped_6: "mask", getitem_6: null, getitem_8: null },
  opt: { add: "embedding", wrapped_7: "mask", getitem_4: null },
  gpt_neox: { gpt_neox_emb_dropout: "embedding" },
};

describe("the reference's other ways to cut a Llama", () => {
  const model = loadFixtureModel("llama");
  const reference: Record<string, { targets: string[]; calls: string[] }[]> = readJson("sequential/llama-traces.json");
  const cases: [string, string[], PartitionOptions][] = [
    ["head", ["LlamaDecoderLayer"], {}],
    ["july2025_partition_rule", ["LlamaDecoderLayer"], { boundary: "target-closes" }],
    ["head_per_subgraph_2", ["LlamaDecoderLayer"], { targetsPerSubgraph: 2 }],
    ["head_attention_and_mlp", ["LlamaAttention", "LlamaMLP"], {}],
    ["head_linear", ["Linear"], {}],
    ["head_linear_3", ["Linear"], { targetsPerSubgraph: 3 }],
    ["head_norms", ["re:.*layernorm$"], {}],
  ];

  test.each(cases)("%s: the same targets in each subgraph", (name, targets, options) => {
    const matched = matchModules(model, targets);
    const paths = new Set(model.namedModules().flatMap(([path, module]) => (matched.has(module) ? [path] : [])));
    const subgraphs = traceSubgraphs(model, sample, targets, [], options);
    const found = subgraphs.map(({ calledModules }) => calledModules.filter((path) => paths.has(path)));
    expect(found).toEqual(reference[name].map(({ targets: expected }) => expected));
  });

  test("a rotary table is computed once, in the head, where the reference computes it for each layer", () => {
    const subgraphs = traceSubgraphs(model, sample, ["Linear"]);
    expect(
      subgraphs.flatMap(({ calledModules }) => calledModules).filter((path) => path === "model.rotary_emb"),
    ).toHaveLength(1);
  });
});

describe("defects of the reference that are absent", () => {
  const model = loadFixtureModel("llama");

  test("D2: the last subgraph returns what the model returns", () => {
    expect([...(traceSubgraphs(model, sample, model.noSplitModules).at(-1)?.outputNames ?? [])]).toEqual(["logits"]);
  });

  test("D3: a target that is never called is an error that names it", () => {
    class Unused extends Module<void> {
      readonly called = new Linear(4, 4);
      readonly forgotten = new Linear(4, 4);
      forward(x: Node): Node {
        return this.called.call(x);
      }
    }
    expect(() => traceSubgraphs(new Unused(), { x: { dtype: "F32", shape: [2, 3, 4] } }, ["Linear"])).toThrow(
      TraceError,
    );
    expect(() => traceSubgraphs(new Unused(), { x: { dtype: "F32", shape: [2, 3, 4] } }, ["Linear"])).toThrow(
      "forgotten: never called",
    );
  });

  test("D4: a typo in the targets is an error with the nearest names", () => {
    expect(() => traceSubgraphs(model, sample, ["LamaDecoderLayer"])).toThrow(
      /^LamaDecoderLayer: matches no module.*Nearest: LlamaDecoderLayer/,
    );
  });

  test("D5: names and orders are the same from trace to trace", () => {
    const trace = () => traceSubgraphs(loadFixtureModel("llama"), sample, ["Linear"]).map(({ graph }) => String(graph));
    expect(trace()).toEqual(trace());
  });

  test("D7: a parameter is read again in each part instead of being kept for each batch", () => {
    class Shared extends Module<void> {
      readonly scale = new Linear(4, 4);
      readonly first = new Linear(4, 4);
      readonly second = new Linear(4, 4);
      forward(x: Node): Node {
        return this.second.call(this.scale.call(this.first.call(this.scale.call(x))));
      }
    }
    const root = new Shared();
    const subgraphs = traceSubgraphs(root, { x: { dtype: "F32", shape: [2, 3, 4] } }, ["first", "second"]);
    const inputs = subgraphs.flatMap(({ inputNames }) => [...inputNames]);
    expect(inputs.some((name) => name.includes("weight"))).toBe(false);
  });

  test("D10: the embedding is a call of the first subgraph, where it can be observed and compressed", () => {
    const [head] = traceSubgraphs(model, sample, model.noSplitModules);
    expect(head.submodules().map(([path]) => path)).toEqual(["model.embed_tokens", "model.rotary_emb"]);
  });
});
