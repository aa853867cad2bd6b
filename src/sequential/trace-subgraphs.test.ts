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

  test("is cut into as many subgraphs as by the reference, each with the same target", () => {
    const targets = matchModules(model, model.noSplitModules);
    const paths = new Set(model.namedModules().flatMap(([path, module]) => (targets.has(module) ? [path] : [])));
    const found = subgraphs.map(({ calledModules }) => calledModules.filter((path) => paths.has(path)));
    expect(found).toEqual(
      reference.map(({ nodes }) =>
        nodes.filter(({ op, target }) => op === "call_module" && paths.has(target)).map(({ target }) => target),
      ),
    );
  });

  test("the inputs of each decoder layer are what the reference's are: hidden states, mask, rotary table", () => {
    for (const [index, { nodes }] of reference.entries()) {
      const layer = nodes.find(({ op, target }) => op === "call_module" && /^model\.layers\.\d+$/.test(target));
      const ours = subgraphs[index].graph.nodes.find(({ targetName }) => targetName === layer?.target);
      if (!layer || !ours) continue;
      const rolesOf = (names: readonly string[]) => new Set(names.map(roleOf).filter((role) => role !== null));
      expect(rolesOf(ours.inputs.map((input) => input.name))).toEqual(rolesOf(layer.inputs));
    }
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

/** What a value is, whatever its node is called; position_ids, which the reference's layers get and do not read, are none. */
function roleOf(name: string): string | null {
  if (/^model_layers_\d+$/.test(name)) return name;
  if (name === "model_embed_tokens" || name === "getitem") return "embedding";
  if (name === "causal_mask" || /^create_\w*causal_mask$/.test(name)) return "mask";
  if (/^(causal_mask_1|wrapped_4|getitem_[5-8])$/.test(name)) return "mask";
  if (/rotary_emb/.test(name)) return "rotary table";
  return name === "getitem_2" ? null : name;
}

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
