import { describe, expect, test } from "vitest";
import { Module } from "../nn/module.ts";
import { Parameter } from "../nn/parameter.ts";
import { add, mul, silu } from "../ops/arithmetic.ts";
import { SequentialTracer } from "../sequential/tracer.ts";
import { defineFunction, wrap } from "./function.ts";
import { Graph } from "./graph.ts";
import { GraphModule } from "./graph-module.ts";
import { inlineCalls } from "./inline.ts";
import type { Node } from "./node.ts";
import { Tracer } from "./tracer.ts";
import { f32 } from "./types.ts";

class Scale extends Module<void> {
  readonly weight = new Parameter([4]);
  forward(x: Node): Node {
    return mul(x, this.weight);
  }
}

class Block extends Module<void> {
  readonly first = new Scale();
  readonly second = new Scale();
  forward(x: Node): Node {
    return add(x, this.second.call(silu(this.first.call(x))));
  }
}

/** A root whose forward is given. */
class Root extends Module<void> {
  readonly block = new Block();
  constructor(private readonly body: (root: Root, x: Node) => Node) {
    super();
  }
  forward(x: Node): Node {
    return this.body(this, x);
  }
}

const x = { x: f32("batch", 4) };
const coarse = (root: Module, ignore: string[] = []) =>
  new SequentialTracer(new Set([root]), new Set(), { ignore }).trace(root, x);

test("by default everything is traced through, and a parameter is read once", () => {
  const graph = new Tracer().trace(new Root((root, value) => root.block.call(root.block.call(value))), x);
  expect(String(graph)).toMatchInlineSnapshot(`
    "%x: F32[batch,4] = placeholder[x]()
    %block_first_weight: F32[4] = get_attr[block.first.weight]()
    %mul: F32[batch,4] = call_function[mul](%x, %block_first_weight)
    %silu: F32[batch,4] = call_function[silu](%mul)
    %block_second_weight: F32[4] = get_attr[block.second.weight]()
    %mul_1: F32[batch,4] = call_function[mul](%silu, %block_second_weight)
    %add: F32[batch,4] = call_function[add](%x, %mul_1)
    %mul_2: F32[batch,4] = call_function[mul](%add, %block_first_weight)
    %silu_1: F32[batch,4] = call_function[silu](%mul_2)
    %mul_3: F32[batch,4] = call_function[mul](%silu_1, %block_second_weight)
    %add_1: F32[batch,4] = call_function[add](%add, %mul_3)
    return %add_1"
  `);
});

test("a module outside the ancestors is recorded as one call, with the type that its forward gives", () => {
  const root = new Root((self, value) => self.block.call(self.block.call(value)));
  expect(String(coarse(root))).toMatchInlineSnapshot(`
    "%x: F32[batch,4] = placeholder[x]()
    %block: F32[batch,4] = call_module[block](%x)
    %block__2: F32[batch,4] = call_module[block](%block)
    return %block__2"
  `);
});

test("an offloaded ancestor is one call", () => {
  const root = new Root((self, value) => self.block.call(value));
  const graph = new SequentialTracer(new Set([root, root.block]), new Set([root.block])).trace(root, x);
  expect(graph.nodes.map(({ name }) => name)).toEqual(["x", "block", "output"]);
});

test("inlining the calls of a coarse graph equals tracing through at once", () => {
  const root = new Root((self, value) => self.block.call(self.block.call(value)));
  const { graph, origins } = inlineCalls(new GraphModule(root, coarse(root)));
  expect(String(graph)).toBe(String(new Tracer().trace(root, x)));
  const made = [...origins].filter(([, origin]) => origin.name === "block__2").map(([node]) => node.name);
  expect(made).toEqual(["mul_2", "silu_1", "mul_3", "add_1"]);
});

test("inputs keep their names when a call before them records nodes of the same name", () => {
  const root = new Root((self, value) => self.block.call(value));
  const graph = new Graph();
  const inner = graph.callModule("block", [graph.placeholder("x", x.x)], x.x);
  graph.output(graph.callFunction(add.operator, [inner, graph.placeholder("silu", x.x)], {}, x.x));
  const inlined = inlineCalls(new GraphModule(root, graph)).graph;
  expect(inlined.placeholders.map(({ name }) => name)).toEqual(["x", "silu"]);
});

test("hooks run around a forward and can replace what goes in and out, until they are removed", () => {
  const root = new Root((self, value) => self.block.call(value));
  const handles = [
    root.block.first.registerForwardPreHook((_, [value]) => [silu(value as Node)]),
    root.block.second.registerForwardHook((_, __, output) => silu(output as Node)),
  ];
  const count = () => new Tracer().trace(root, x).nodes.filter(({ targetName }) => targetName === "silu").length;
  expect(count()).toBe(3);
  for (const handle of handles) handle.remove();
  expect(count()).toBe(1);
});

describe("functions", () => {
  const gate = defineFunction("gate", (value: Node) => mul(value, silu(value)));

  test("a composite function is traced through, or one node where it is ignored", () => {
    const root = new Root((_, value) => gate(value));
    expect(coarse(root).nodes.map(({ targetName }) => targetName)).toEqual(["x", "silu", "mul", "output"]);
    const ignored = coarse(root, ["gate"]);
    expect(ignored.nodes.map(({ targetName }) => targetName)).toEqual(["x", "gate", "output"]);
    expect(inlineCalls(new GraphModule(root, ignored)).graph.nodes.map(({ targetName }) => targetName)).toEqual([
      "x",
      "silu",
      "mul",
      "output",
    ]);
  });

  test("a wrapped function is one opaque node, even when everything is traced through", () => {
    const opaque = wrap(
      "opaque",
      ([type]) => type,
      (tensor) => tensor,
    );
    const root = new Root((_, value) => opaque(value));
    expect(String(new Tracer().trace(root, x))).toContain("%opaque: F32[batch,4] = call_function[opaque](%x)");
  });
});

describe("what a traced value cannot do", () => {
  const advice =
    "expected only operators and modules to read it. Use an operator; or pass the code to wrap(), which runs it on " +
    "concrete tensors; or name the function that holds it in ignore.";

  test.each<[string, (value: Node) => unknown, string]>([
    ["arithmetic", (value) => (value as unknown as number) * 2, "used as a number or compared"],
    ["comparison", (value) => value < (1 as unknown as Node), "used as a number or compared"],
    ["addition", (value) => (value as unknown as number) + 1, "used in + or =="],
    ["a template", (value) => `${value}`, "used as a string or a key"],
    ["a key", (value) => ({})[value as unknown as string], "used as a string or a key"],
    ["iteration", (value) => [...value], "iterated"],
  ])("%s is refused, and the module and the operator are named", (_, misuse, how) => {
    class Misuse extends Module<void> {
      forward(value: Node): Node {
        misuse(silu(value));
        return value;
      }
    }
    const root = new Root((self, value) => (self as unknown as { inner: Misuse }).inner.call(value));
    Object.assign(root, { inner: new Misuse() });
    expect(() => new Tracer().trace(root, x)).toThrow(
      `inner: the traced value %silu (F32[batch,4], made by silu) was ${how}, ${advice}`,
    );
  });
});

describe("errors of a trace", () => {
  test("a module that is no field is named by its class", () => {
    const stray = new Scale();
    expect(() => new Tracer().trace(new Root((_, value) => stray.call(value)), x)).toThrow(
      ": calls a module (Scale) that is no submodule of the root, expected a field of the module that calls it. " +
        "Assign it to a field in the constructor.",
    );
  });

  test("a call outside a trace is refused", () => {
    expect(() => new Scale().call(null as unknown as Node)).toThrow(
      "Scale: called with values of 0 graphs being traced, expected 1. " +
        "Call it inside a forward, with at least one value that the forward was given.",
    );
  });

  test("unknown and missing arguments of a root are named", () => {
    class Named extends Root {
      override readonly forwardParameters = [{ name: "x" }, { name: "y" }];
    }
    const root = new Named((_, value) => value);
    expect(() => new Tracer().trace(root, x)).toThrow("Named.forward: no value for y, expected (x, y).");
    expect(() => new Tracer().trace(root, { ...x, z: f32(1) })).toThrow(
      "Named.forward: no argument z, expected (x, y).",
    );
  });
});

test("arguments left out of a call stay left out when it is inlined", () => {
  class Optional extends Module<void> {
    forward(value: Node, extra: Node | null): Node {
      return extra ? add(value, extra) : silu(value);
    }
  }
  const root = new Root((self, value) => (self as unknown as { optional: Optional }).optional.call(value, null));
  Object.assign(root, { optional: new Optional() });
  const graph = coarse(root);
  expect(String(graph)).toContain("call_module[optional](%x, absent=[1])");
  expect(inlineCalls(new GraphModule(root, graph)).graph.nodes.map(({ targetName }) => targetName)).toEqual([
    "x",
    "silu",
    "output",
  ]);
});

test("an operator of the same values and constants is recorded once, and its value shared", () => {
  const root = new Root(({ block }, x) => add(block.first.call(x), block.first.call(x)));
  expect(String(new Tracer().trace(root, x))).toMatchInlineSnapshot(`
    "%x: F32[batch,4] = placeholder[x]()
    %block_first_weight: F32[4] = get_attr[block.first.weight]()
    %mul: F32[batch,4] = call_function[mul](%x, %block_first_weight)
    %add: F32[batch,4] = call_function[add](%mul, %mul)
    return %add"
  `);
});

test("an opaque function is called as often as the forward says", () => {
  const next = wrap(
    "next",
    ([type]) => type as never,
    (value) => value,
  );
  const graph = new Tracer().trace(new Root((_, value) => add(next(value), next(value))), x);
  expect(graph.nodes.filter(({ name }) => name.startsWith("next"))).toHaveLength(2);
});
