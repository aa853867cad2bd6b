import { expect, test } from "vitest";
import type { Node } from "../fx/node.ts";
import { Tracer } from "../fx/tracer.ts";
import { f32 } from "../fx/types.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { silu } from "../ops/arithmetic.ts";
import { graphCost } from "./graph-cost.ts";

class Projection extends Module<void> {
  readonly layer = new Linear(4, 8);

  forward(x: Node): Node {
    return silu(silu(this.layer.call(x)));
  }
}

test("products are counted in multiply-adds, all else in bytes; a value counts until its last reader has run", () => {
  const graph = new Tracer().trace(new Projection(undefined), { x: f32("batch", "seq", 4) });
  const sizes = new Map([
    ["batch", 2],
    ["seq", 3],
  ]);
  const made = 4 * 2 * 3 * 8;
  expect(graphCost(graph, sizes)).toEqual({ multiplyAdds: 2 * 3 * 4 * 8, bytesMoved: 4 * made, peakBytes: 2 * made });
});
