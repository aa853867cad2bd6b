import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { f32 } from "../fx/types.ts";
import { Module } from "../nn/module.ts";
import { add } from "../ops/arithmetic.ts";
import { traceConsumedNames } from "./consumed-names.ts";
import { type PartitionOptions, topologicalPartition } from "./partition.ts";
import { partitionGraph } from "./partition-graph.ts";

const type = f32(1);

class Empty extends Module<void> {
  forward(x: Node): Node {
    return x;
  }
}

const call = (graph: Graph, ...inputs: Node[]) => graph.callFunction(add.operator, inputs, {}, type);
const target = (graph: Graph, path: string, ...inputs: Node[]) => graph.callModule(path, inputs, type);

/** head → a → glue → b → tail, with an attribute that glue and tail read. */
function chain() {
  const graph = new Graph();
  const x = graph.placeholder("x", type);
  const weight = graph.getAttr("weight", type);
  const head = call(graph, x, x);
  const a = target(graph, "a", head);
  const glue = call(graph, a, weight);
  const b = target(graph, "b", glue);
  graph.output({ y: call(graph, b, weight) });
  return { graph, targets: new Set([a, b]) };
}

const namesOf = (parts: readonly (readonly Node[])[]) => parts.map((nodes) => nodes.map(({ name }) => name));

describe("topologicalPartition", () => {
  test("a target opens a part; an attribute is in the first part that reads it; the output is in the last", () => {
    const { graph, targets } = chain();
    expect(namesOf(topologicalPartition(graph, targets))).toEqual([
      ["x", "add"],
      ["weight", "a", "add_1"],
      ["b", "add_2", "output"],
    ]);
  });

  test("a target closes a part by the older rule", () => {
    const { graph, targets } = chain();
    expect(namesOf(topologicalPartition(graph, targets, { boundary: "target-closes" }))).toEqual([
      ["x", "add", "a"],
      ["weight", "add_1", "b"],
      ["add_2", "output"],
    ]);
  });

  test("two targets in a part, after the head", () => {
    const { graph, targets } = chain();
    const parts = topologicalPartition(graph, targets, { targetsPerSubgraph: 2 });
    expect(namesOf(parts)).toEqual([
      ["x", "add"],
      ["weight", "a", "add_1", "b", "add_2", "output"],
    ]);
  });

  test("targets that read the same value share a part where asked for", () => {
    const graph = new Graph();
    const x = graph.placeholder("x", type);
    const norm = call(graph, x);
    const [q, k] = [target(graph, "q", norm), target(graph, "k", norm)];
    const o = target(graph, "o", call(graph, q, k));
    graph.output(o);
    const parts = topologicalPartition(graph, new Set([q, k, o]), { shareInputs: true });
    expect(namesOf(parts)).toEqual([
      ["x", "add"],
      ["q", "k", "add_1"],
      ["o", "output"],
    ]);
  });

  test("where targets share inputs, a cut moves back to where fewer values cross it", () => {
    const graph = new Graph();
    const x = graph.placeholder("x", type);
    const o = target(graph, "o", x);
    const sum = call(graph, o, x);
    const norm = call(graph, sum);
    const gate = target(graph, "gate", norm);
    graph.output(call(graph, gate, sum)); // the residual: before the norm, one value crosses, after it two
    const targets = new Set([o, gate]);
    expect(namesOf(topologicalPartition(graph, targets, { shareInputs: true }))).toEqual([
      ["x"],
      ["o", "add"],
      ["add_1", "gate", "add_2", "output"],
    ]);
    expect(namesOf(topologicalPartition(graph, targets))[1]).toEqual(["o", "add", "add_1"]);
  });

  test("what is kept together begins at a cut before the first of it, with all that shares its input", () => {
    const graph = new Graph();
    const x = graph.placeholder("x", type);
    const before = target(graph, "before", x);
    const norm = call(graph, before, before);
    const [q, v] = [target(graph, "q", norm), target(graph, "v", norm)];
    const o = target(graph, "o", call(graph, q, v));
    graph.output(o);
    const cut = (...together: ReadonlySet<Node>[]) =>
      namesOf(topologicalPartition(graph, new Set([before, q, v, o]), { shareInputs: true }, together));
    expect(cut(new Set([norm, q, v]))).toEqual([["x"], ["before"], ["add", "q", "v", "add_1"], ["o", "output"]]);
    expect(cut(new Set([v, o]))).toEqual([["x"], ["before", "add"], ["q", "v", "add_1", "o", "output"]]);
    expect(cut(new Set([norm, q, v]), new Set([v, o]))).toEqual([
      ["x"],
      ["before"],
      ["add", "q", "v", "add_1", "o", "output"],
    ]);
  });

  test("an attribute that nobody reads is left out", () => {
    const { graph, targets } = chain();
    graph.getAttr("unused", type);
    expect(
      topologicalPartition(graph, targets)
        .flat()
        .map(({ name }) => name),
    ).not.toContain("unused");
  });

  test("without a target the whole graph is one part", () => {
    expect(topologicalPartition(chain().graph, new Set())).toHaveLength(1);
  });

  test.each([0, -1, 1.5])("%d targets in a subgraph are refused", (targetsPerSubgraph) => {
    const { graph, targets } = chain();
    expect(() => topologicalPartition(graph, targets, { targetsPerSubgraph })).toThrow(
      `targetsPerSubgraph: ${targetsPerSubgraph}, expected an integer of at least one.`,
    );
  });

  test("a graph whose users and inputs disagree is refused", () => {
    const { graph, targets } = chain();
    graph.placeholders[0].users.clear();
    expect(() => topologicalPartition(graph, targets)).toThrow(
      "graph: users and inputs disagree, expected a well-formed graph.",
    );
  });
});

describe("partitionGraph", () => {
  test("each part is a closed graph that reads its attributes itself", () => {
    const { graph, targets } = chain();
    const subgraphs = partitionGraph(new Empty(), topologicalPartition(graph, targets));
    traceConsumedNames(subgraphs);
    expect(String(subgraphs[2].graph)).toMatchInlineSnapshot(`
      "%add_1: F32[1] = placeholder[add_1]()
      %b: F32[1] = call_module[b](%add_1)
      %weight: F32[1] = get_attr[weight]()
      %add_2: F32[1] = call_function[add](%b, %weight)
      return {y: %add_2}"
    `);
    expect(subgraphs.map(({ inputNames }) => [...inputNames])).toEqual([["x"], ["add"], ["add_1"]]);
    expect(subgraphs.map(({ consumedNames }) => [...consumedNames])).toEqual([["x"], ["add"], ["add_1"]]);
    expect(subgraphs.map(({ outputNames }) => [...outputNames])).toEqual([["add"], ["add_1"], ["y"]]);
  });
});

/** A random graph: each node reads some earlier ones; some nodes are targets, some attributes, some unused. */
const randomGraph = fc
  .array(
    fc.record({
      kind: fc.constantFrom("call", "call", "call", "target", "get_attr", "placeholder"),
      reads: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 200, maxLength: 260, size: "max" },
  )
  .map((steps) => {
    const graph = new Graph();
    const nodes = [graph.placeholder("x", type)];
    const targets = new Set<Node>();
    for (const [index, { kind, reads }] of steps.entries()) {
      const inputs = reads.map((read) => nodes[read % nodes.length]);
      if (kind === "get_attr") nodes.push(graph.getAttr(`weight.${index % 20}`, type));
      else if (kind === "placeholder") nodes.push(graph.placeholder(`input_${index}`, type));
      else if (kind === "call") nodes.push(call(graph, ...inputs));
      else nodes.push(target(graph, `layers.${index % 30}`, ...inputs));
      if (kind === "target") targets.add(nodes[nodes.length - 1]);
    }
    graph.output({ first: nodes[nodes.length - 1], second: nodes[Math.floor(nodes.length / 2)] });
    return { graph, targets };
  });

const options: fc.Arbitrary<PartitionOptions> = fc.record({
  targetsPerSubgraph: fc.integer({ min: 1, max: 5 }),
  boundary: fc.constantFrom("target-opens", "target-closes"),
  shareInputs: fc.boolean(),
});

/** Computes a graph with numbers: what each node is depends on its target and its inputs. */
function evaluate(graph: Graph, inputs: ReadonlyMap<string, number>): Map<string, number> {
  const values = new Map<Node, number>();
  for (const node of graph.nodes) {
    const sum = node.inputs.reduce((total, input, index) => total + (index + 1) * (values.get(input) as number), 0);
    values.set(
      node,
      node.op === "placeholder" ? (inputs.get(node.name) as number) : (sum + node.targetName.length) % 10007,
    );
  }
  return new Map([...graph.outputs].map(([name, node]) => [name, values.get(node) as number]));
}

describe("on random graphs", () => {
  test("every node is in one part, each part depends on earlier ones, and holds as many targets as asked for", () => {
    fc.assert(
      fc.property(randomGraph, options, ({ graph, targets }, given) => {
        const parts = topologicalPartition(graph, targets, given);
        const place = new Map(parts.flatMap((nodes, part) => nodes.map((node) => [node, part] as const)));
        const wanted = graph.nodes.filter((node) => node.op !== "get_attr" || node.users.size > 0);
        expect(parts.flat()).toHaveLength(wanted.length);
        for (const node of wanted) {
          const part = place.get(node) as number;
          for (const input of node.inputs) expect(place.get(input)).toBeLessThanOrEqual(part);
        }
        if (given.shareInputs) return;
        for (const nodes of parts) {
          expect(nodes.filter((node) => targets.has(node)).length).toBeLessThanOrEqual(
            given.targetsPerSubgraph as number,
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  test("the subgraphs in order equal the graph, and each intermediate is consumed by its last reader", () => {
    fc.assert(
      fc.property(randomGraph, options, ({ graph, targets }, given) => {
        const subgraphs = partitionGraph(new Empty(), topologicalPartition(graph, targets, given));
        traceConsumedNames(subgraphs);
        const inputs = new Map(graph.placeholders.map(({ name }, index) => [name, index + 1]));
        const values = new Map(inputs);
        let outputs = new Map<string, number>();
        for (const [index, subgraph] of subgraphs.entries()) {
          outputs = evaluate(subgraph.graph, values);
          for (const [name, value] of outputs) values.set(name, value);
          for (const name of subgraph.consumedNames) {
            values.delete(name);
            expect(subgraphs.slice(index + 1).some((later) => later.inputNames.has(name))).toBe(false);
          }
        }
        expect(outputs).toEqual(evaluate(graph, inputs));
      }),
      { numRuns: 50 },
    );
  });
});
