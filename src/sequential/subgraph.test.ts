import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadFixtureModel, readGoldenLogits } from "../../test/fixture-model.ts";
import { ExecutionError } from "../errors.ts";
import { wrap } from "../fx/function.ts";
import { GraphModule } from "../fx/graph-module.ts";
import type { Node } from "../fx/node.ts";
import { Tracer } from "../fx/tracer.ts";
import { f32 } from "../fx/types.ts";
import { Module } from "../nn/module.ts";
import { Buffer, type ParameterSource } from "../nn/parameter.ts";
import { add, mul, silu } from "../ops/arithmetic.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import { dispatchForSequential } from "./dispatch.ts";
import { runInOrder } from "./run-in-order.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

const golden = readGoldenLogits("llama");
const batch = { input_ids: golden.get("input_ids") as Tensor, attention_mask: golden.get("attention_mask") as Tensor };
const dispatch = <Model extends Module>(model: Model) => dispatchForSequential(model, { device: "cpu", threads: 1 });

test("a subgraph knows its inputs, outputs, calls and the modules below them", () => {
  const model = loadFixtureModel("llama");
  const [, first] = traceSubgraphs(model, batch, model.noSplitModules);
  expect([...first.inputNames]).toEqual(["model_embed_tokens", "causal_mask", "model_rotary_emb"]);
  expect([...first.outputNames]).toEqual(["model_layers_0"]);
  expect(first.calledModules).toEqual(["model.layers.0"]);
  expect(first.submodules().map(([path]) => path)).toEqual(
    model.namedModules().flatMap(([path]) => (path.startsWith("model.layers.0") ? [path] : [])),
  );
});

test("forward returns its outputs by name and keeps nothing between calls", async () => {
  const model = loadFixtureModel("llama");
  const dispatched = await dispatch(model);
  const [head] = traceSubgraphs(model, batch, model.noSplitModules);
  const once = await head.forward(dispatched, batch);
  const again = await head.forward(dispatched, batch);
  expect(Object.keys(once)).toEqual([...head.outputNames]);
  expect(again.model_embed_tokens).toBeAllClose(once.model_embed_tokens as Tensor, { atol: 0 });
});

test("inputs that are missing or surplus are refused by name", async () => {
  const model = loadFixtureModel("llama");
  const dispatched = await dispatch(model);
  const [head] = traceSubgraphs(model, batch, model.noSplitModules);
  const { input_ids } = batch;
  await expect(head.forward(dispatched, { input_ids })).rejects.toThrow("attention_mask");
  await expect(head.forward(dispatched, { ...batch, labels: input_ids })).rejects.toThrow("labels");
});

test("a failure inside shows the code with the failing line marked, and keeps the cause", async () => {
  const cause = new Error("no more whales");
  const fail = wrap(
    "fail",
    ([type]) => type,
    () => {
      throw cause;
    },
  );
  class Inner extends Module<void> {
    forward(x: Node): Node {
      return silu(fail(silu(x)));
    }
  }
  class Root extends Module<void> {
    readonly inner = new Inner();
    forward(x: Node): Node {
      return this.inner.call(silu(x));
    }
  }
  const root = new Root();
  const x = Tensor.zeros("F32", [1, 2, 4]);
  const [, subgraph] = traceSubgraphs(root, { x }, ["Inner"]);
  const error = await subgraph.forward(await dispatch(root), { silu: x }).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(ExecutionError);
  expect(error.message).toBe(
    "inner: failed while running this code:\n" +
      "  1 forward(silu) {\n" +
      "> 2   const inner = this.inner(silu);\n" +
      "  3   return inner;\n" +
      "  4 }\n" +
      "no more whales",
  );
  expect(error.cause).toBe(cause);
});

describe("dispatchForSequential", () => {
  test("takes off hooks, and reads no weight before one is asked for", async () => {
    const model = loadFixtureModel("llama");
    let reads = 0;
    for (const [, parameter] of model.namedParameters()) {
      const { source } = parameter;
      const read = () => {
        reads++;
        return (source as ParameterSource).read();
      };
      if (source) parameter.source = { ...source, read };
    }
    model.lm_head.registerForwardPreHook(() => {
      throw new Error("a hook is still there");
    });
    const dispatched = await dispatch(model);
    const subgraphs = traceSubgraphs(model, batch, model.noSplitModules);
    expect(reads).toBe(0);
    for await (const { logits } of runInOrder(subgraphs, dispatched, [batch]))
      expect((logits as Tensor).shape).toEqual([2, 12, 256]);
    expect(reads).toBe(model.namedParameters().filter(([, { source }]) => source).length);
  });

  test("says once that it computes on the CPU where there is no accelerator", async () => {
    const warnings: string[] = [];
    const { runtime } = await dispatchForSequential(loadFixtureModel("llama"), {
      onWarning: (text) => warnings.push(text),
    });
    if (runtime.device === "cpu")
      expect(warnings).toEqual(["no accelerator is available: computing on the CPU instead."]);
    else expect(warnings).toEqual([]);
  });
});

/** One step of a random module: call a child, or combine two values. */
interface Step {
  readonly kind: "child" | "add" | "mul" | "weight";
  readonly reads: readonly [number, number];
}

/** A module whose forward follows random steps over its children, which may be shared and called more than once. */
class RandomModule extends Module<void> {
  readonly weight: Buffer;

  constructor(
    readonly children: readonly RandomModule[],
    private readonly steps: readonly Step[],
    seed: number,
  ) {
    super();
    this.weight = new Buffer(new Tensor("F32", [2], Float32Array.of(1 + (seed % 3) / 7, 0.5)));
  }

  forward(x: Node): Node {
    const values = [x];
    for (const { kind, reads } of this.steps) {
      const [a, b] = reads.map((read) => values[read % values.length]);
      if (kind === "child" && this.children.length > 0)
        values.push(this.children[reads[1] % this.children.length].call(a));
      else values.push(kind === "mul" ? silu(mul(a, b)) : kind === "weight" ? mul(a, this.weight) : silu(add(a, b)));
    }
    return values[values.length - 1];
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("child", "child", "add", "mul", "weight"),
  reads: fc.tuple(fc.nat(50), fc.nat(50)),
});
const steps = fc.array(step, { minLength: 1, maxLength: 6 });

/** A tree of random modules: leaves, then branches over leaves, then a root over both; some are shared. */
const tree = fc
  .record({
    leaves: fc.array(steps, { minLength: 1, maxLength: 4 }),
    branches: fc.array(fc.record({ steps, children: fc.array(fc.nat(10), { maxLength: 3 }) }), {
      minLength: 1,
      maxLength: 3,
    }),
    root: steps,
    targets: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }),
  })
  .map(({ leaves, branches, root, targets }) => {
    const small = leaves.map((own, index) => new RandomModule([], own, index));
    const middle = branches.map(
      (branch, index) =>
        new RandomModule(
          branch.children.map((child) => small[child % small.length]),
          branch.steps,
          index + 5,
        ),
    );
    const model = new RandomModule([...middle, ...small], root, 11);
    const paths = model.namedModules().map(([path]) => path);
    return { model, targets: [...new Set(targets.map((target) => paths[1 + (target % (paths.length - 1))]))] };
  });

test("on random module trees, shared and nested targets included, the subgraphs in order equal the model", async () => {
  const x = new Tensor("F32", [1, 3, 2], Float32Array.of(0.1, -0.2, 0.3, 0.4, -0.5, 0.6));
  await fc.assert(
    fc.asyncProperty(tree, async ({ model, targets }) => {
      const dispatched = await dispatch(model);
      const whole = new GraphModule(model, new Tracer().trace(model, { x: f32("batch", "seq", 2) }));
      const expected = await (await CompiledGraph.compile(whole, dispatched)).run({ x }, dispatched);
      const called = new Tracer().trace(model, { x: f32("batch", "seq", 2) });
      fc.pre(called.nodes.length > 2);
      let subgraphs: ReturnType<typeof traceSubgraphs>;
      try {
        subgraphs = traceSubgraphs(model, { x }, targets);
      } catch (error) {
        expect(String(error)).toContain("never called in the trace");
        return;
      }
      for await (const found of runInOrder(subgraphs, dispatched, [{ x }])) {
        expect(found["0"]).toBeAllClose(expected["0"] as Tensor, { atol: 1e-6, rtol: 1e-5 });
      }
    }),
    { numRuns: 60 },
  );
});
