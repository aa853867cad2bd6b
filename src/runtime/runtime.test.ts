import { listSupportedBackends } from "onnxruntime-node";
import { expect, test } from "vitest";
import { ExecutionError } from "../errors.ts";
import type { TensorType } from "../fx/types.ts";
import { onnx } from "../ops/onnx.ts";
import { allocate, type DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { OnnxWriter } from "./onnx-writer.ts";
import { Runtime } from "./runtime.ts";

test("the CPU is the default device", async () => {
  expect((await Runtime.create()).device).toBe("cpu");
});

test("a device that is not available is an error that lists the others", async () => {
  const others = listSupportedBackends().map(({ name }) => name);
  await expect(Runtime.create({ device: "abacus" })).rejects.toThrow(
    new ExecutionError(`device abacus: not available, expected one of: ${others.join(", ")}. Choose another device.`),
  );
});

test("equal models share one session, others have their own", async () => {
  const runtime = await Runtime.create();
  const before = runtime.sessionCount;
  const session = await runtime.compile(identity({ dtype: "F32", shape: [2] }));
  expect(await runtime.compile(identity({ dtype: "F32", shape: [2] }))).toBe(session);
  expect(runtime.sessionCount).toBe(before + 1);
  expect(await runtime.compile(identity({ dtype: "F32", shape: [3] }))).not.toBe(session);
  expect(runtime.sessionCount).toBe(before + 2);
});

test.each<DType>(["F32", "F64", "I64", "I32", "I8", "U8", "BOOL"])(
  "%s goes in and comes out as it is",
  async (dtype) => {
    const runtime = await Runtime.create();
    const input = new Tensor(dtype, [2, 2], samples(dtype));
    const session = await runtime.compile(identity(input));
    const output = (await session.run(new Map([["x", input]]))).get("y");
    expect(output?.dtype).toBe(dtype);
    expect(output).toBeAllClose(input, { atol: 0 });
  },
);

test.each<DType>(["BF16", "F16", "F8_E4M3", "I16"])("%s does not cross into ONNX Runtime", async (dtype) => {
  const runtime = await Runtime.create();
  const session = await runtime.compile(identity({ dtype: "F32", shape: [2] }));
  await expect(session.run(new Map([["x", Tensor.zeros(dtype, [2])]]))).rejects.toThrow(
    new ExecutionError(`tensor: dtype ${dtype}, expected one of: F32, F64, I64, I32, I8, U8, BOOL.`),
  );
});

test("a scalar and an empty tensor keep their shape", async () => {
  const runtime = await Runtime.create();
  for (const shape of [[], [0, 3]]) {
    const session = await runtime.compile(identity({ dtype: "F32", shape }));
    const output = (await session.run(new Map([["x", Tensor.zeros("F32", shape)]]))).get("y");
    expect(output?.shape).toEqual(shape);
  }
});

/** y = x. */
function identity(type: TensorType): Uint8Array {
  const writer = new OnnxWriter();
  writer.input("x", type);
  writer.output("y", type, writer.emit(onnx("Identity", [{ value: "x" }]), "n0"));
  return writer.finish();
}

/** 0, 1, 0, 1, which every dtype holds. */
function samples<D extends DType>(dtype: D) {
  const data = allocate(dtype, 4);
  for (const index of [1, 3]) data[index] = dtype === "I64" ? 1n : 1;
  return data;
}
