import { describe, expect, test } from "vitest";
import type { Node } from "../../fx/node.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { RMSNorm } from "../../nn/norm.ts";
import { relu } from "../../ops/activation.ts";
import { add, mul, scale, silu } from "../../ops/arithmetic.ts";
import { columns } from "../../ops/heads.ts";
import { embedding } from "../../ops/linear.ts";
import { findMappings } from "./find-mappings.ts";
import { describeMapping } from "./mapping.ts";

/** A model of tokens with a norm and linears, computed as a test says; more linears follow what it returns. */
class Sketch extends Module<void> {
  override readonly forwardParameters = [{ name: "input_ids" }];
  readonly embed = new Linear(4, 16);
  readonly norm = new RMSNorm(4, 1e-6);
  readonly a = new Linear(4, 4, { bias: true });
  readonly b = new Linear(4, 4);
  readonly wide = new Linear(4, 8);
  readonly half = new Linear(4, 4);
  readonly head = new Linear(4, 2);

  constructor(private readonly body: (model: Sketch, x: Node) => Node) {
    super();
  }

  forward(ids: Node): { logits: Node } {
    return { logits: this.head.call(this.body(this, embedding(ids, this.embed.weight))) };
  }
}

/** The mapping of each module that the sketch calls, or what stands in the way. */
function found(body: (model: Sketch, x: Node) => Node): Record<string, string> {
  return Object.fromEntries(
    findMappings(new Sketch(body)).map((candidate) => [
      candidate.path,
      candidate.mapping ? describeMapping(candidate.mapping) : (candidate.obstacle?.reason as string),
    ]),
  );
}

describe("factors reach", () => {
  test("all linears that read a norm, and through ReLU, constants and products what reads a linear", () => {
    expect(
      found(({ norm, a, b, half }, x) => {
        const y = norm.call(x);
        return half.call(mul(scale(relu(a.call(y)), { factor: 2 }), silu(b.call(y))));
      }),
    ).toMatchObject({
      norm: "norm → a, b",
      a: "a → half",
      b: "silu reads it",
      half: "half → head",
    });
  });

  test("the part of a fused projection that nothing else reads", () => {
    const [mapping] = findMappings(
      new Sketch(({ wide, half }, x) => {
        const fused = wide.call(x);
        const [gate, up] = [columns(fused, { begin: 0, end: 4 }), columns(fused, { begin: 4, end: 8 })];
        return half.call(mul(silu(gate), up));
      }),
    ).flatMap((candidate) => candidate.mapping ?? []);
    expect(describeMapping(mapping)).toBe("wide → half");
    expect([...mapping.rows]).toEqual([4, 5, 6, 7]);
  });
});

describe("nothing is moved where", () => {
  test.each<[string, (model: Sketch, x: Node) => Node, string]>([
    ["a sum reads the value too", ({ norm, a }, x) => readAgain(norm.call(x), a), "add reads it"],
    ["a product reads it twice", ({ norm, half }, x) => square(norm.call(x), half), "mul reads it"],
    ["a product reads two of it", ({ norm, half }, x) => pair(norm.call(x), half), "mul reads it"],
    [
      "the norm is called twice",
      ({ norm, a, b }, x) => add(a.call(norm.call(x)), b.call(norm.call(relu(x)))),
      "its weight is read elsewhere too",
    ],
  ])("%s", (_, body, expected) => {
    expect(found(body).norm).toBe(expected);
  });

  test("linears read different columns, or one weight is two modules'", () => {
    const bodies = found(({ wide, a, b }, x) => {
      const fused = wide.call(x);
      return add(a.call(columns(fused, { begin: 0, end: 4 })), b.call(columns(fused, { begin: 4, end: 8 })));
    });
    expect(bodies.wide).toBe("linears read different columns of it");
    const tied = new Sketch(({ norm, a, b }, x) => b.call(a.call(norm.call(x))));
    tied.b.weight = tied.a.weight;
    const reasons = findMappings(tied).map(({ path, obstacle }) => [path, obstacle?.reason]);
    expect(reasons).toContainEqual(["norm", "linear_bias in a reads it"]);
    expect(reasons).toContainEqual(["a", "its weight is read elsewhere too"]);
  });
});

test("the last projection is told from the others", () => {
  const last = findMappings(new Sketch(({ norm, a }, x) => a.call(norm.call(x))));
  expect(last.map(({ path, mapping }) => [path, mapping?.isInner])).toEqual([
    ["norm", true],
    ["a", false],
    ["head", undefined],
  ]);
});

function readAgain(value: Node, linear: Linear): Node {
  return add(linear.call(value), value);
}

function square(value: Node, linear: Linear): Node {
  return linear.call(mul(value, value));
}

function pair(value: Node, linear: Linear): Node {
  return linear.call(mul(relu(value), scale(value, { factor: 3 })));
}
