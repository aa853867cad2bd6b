import { expect, test } from "vitest";
import type { Node } from "../fx/node.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Weights } from "./weights.ts";

class Root extends Module<void> {
  readonly layer = new Linear(2, 2);

  constructor() {
    super();
    const { weight } = this.layer;
    const readFloat32: NonNullable<typeof weight.source>["readFloat32"] = async (buffers) => {
      const values = buffers?.take("F32", weight.shape) ?? Tensor.zeros("F32", weight.shape);
      values.data.fill(1);
      return values;
    };
    weight.source = { name: "layer.weight", dtype: "F32", shape: weight.shape, read: readFloat32, readFloat32 };
  }

  forward(x: Node): Node {
    return this.layer.call(x);
  }
}

test("what is released or discarded is read again, into the same memory", async () => {
  const { weight } = new Root().layer;
  const model = new Root();
  const weights = new Weights(model);
  const first = await weights.load(model.layer.weight);
  expect(await weights.load(model.layer.weight)).toBe(first);
  first.data.fill(2);
  await weights.releaseAll();
  const second = await weights.load(model.layer.weight);
  expect(second.data).toBe(first.data);
  expect([...second.data]).toEqual([1, 1, 1, 1]);
  weights.discard(model.layer.weight);
  expect(weights.buffers.take("F32", weight.shape).data).toBe(first.data);
  expect((await weights.load(model.layer.weight)).data).not.toBe(first.data);
});

test("a value that replaces another is there until all are released", async () => {
  const model = new Root();
  const { weight } = model.layer;
  const weights = new Weights(model);
  const value = Tensor.zeros("F32", weight.shape);
  weights.replace(weight, value);
  expect(await weights.load(weight)).toBe(value);
  await weights.releaseAll();
  expect([...(await weights.load(weight)).data]).toEqual([1, 1, 1, 1]);
});
