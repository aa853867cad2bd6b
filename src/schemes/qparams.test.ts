import { expect, test } from "vitest";
import { goldenTables } from "../../test/compressed-tensors.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { completeArgs } from "./arguments-schema.ts";
import { computeQParams, globalScaleOf } from "./qparams.ts";

const DTYPES = { float32: "F32", bfloat16: "BF16", float16: "F16" } as const satisfies Record<string, FloatDType>;

const goldens = goldenTables.qparams.map(({ args, dtype, ...golden }) => {
  const kind = args.symmetric === false ? "asymmetric" : "symmetric";
  const type = args.scale_dtype ? "microscaled float" : (args.type ?? "int");
  return { title: `${type} of ${args.num_bits} bits, ${kind}, ${dtype}`, args, dtype: DTYPES[dtype], ...golden };
});

test.each(goldens)("scales and zero points equal the reference's: $title", ({ args, dtype, min, max, ...golden }) => {
  const complete = completeArgs({
    numBits: args.num_bits,
    type: (args.type ?? "int") as QuantizationArgs["type"],
    strategy: args.strategy as QuantizationArgs["strategy"],
    symmetric: args.symmetric,
    groupSize: args.group_size as number | undefined,
    scaleDtype: args.scale_dtype as string | undefined,
  });
  const { scale, zeroPoint } = computeQParams({ min: fromBits(min), max: fromBits(max) }, complete, dtype);
  expect(scale.dtype).toBe(dtype);
  expect(toFloat32(scale).data).toEqual(fromBits(golden.scale).data);
  if (complete.symmetric) expect(zeroPoint).toBeUndefined();
  else expect(Array.from(zeroPoint?.data ?? [])).toEqual(golden.zero_point);
});

test("global scales equal the reference's, and are 1 where there is nothing to scale", () => {
  const { amax, global_scale } = goldenTables.nvfp4_global_scale;
  const found = [...fromBits(amax).data].map((value) => globalScaleOf(value, "F32").data[0]);
  expect(found).toEqual([...fromBits(global_scale).data]);
});

test("a global scale in BF16 has the precision of BF16", () => {
  expect(globalScaleOf(3.59375, "BF16").data[0]).toBe(744);
});

test("a scale of zero becomes the smallest step of its dtype", () => {
  const zeros = { min: Tensor.zeros("F32", [1]), max: Tensor.zeros("F32", [1]) };
  const args = completeArgs({ numBits: 4, symmetric: false });
  const found = (["F32", "BF16", "F16"] as const).map((dtype) => computeQParams(zeros, args, dtype));
  expect(found.map(({ scale }) => toFloat32(scale).data[0])).toEqual([2 ** -23, 2 ** -7, 2 ** -10]);
  expect(found.map(({ zeroPoint }) => zeroPoint?.data[0])).toEqual([0, 0, 0]);
});

test("zero points in float32 equal the reference's, which rounds none of them to a code", () => {
  const args = completeArgs({ numBits: 4, symmetric: false, groupSize: 32, zpDtype: "torch.float32" });
  const [min, max] = [Float32Array.of(-0.3, -0.11, -1, 0), Float32Array.of(0.8, 1.2, -0.5, 0)];
  const range = { min: new Tensor("F32", [4, 1], min), max: new Tensor("F32", [4, 1], max) };
  const { zeroPoint } = computeQParams(range, args, "F32");
  expect(zeroPoint?.dtype).toBe("F32");
  expect(Array.from(zeroPoint?.data ?? [], (zero) => zero.toFixed(4))).toEqual([
    "-3.9091",
    "-6.7405",
    "7.0000",
    "0.0000",
  ]);
});

test("a minimum and maximum of unequal shapes are refused", () => {
  expect(() =>
    computeQParams({ min: Tensor.zeros("F32", [1]), max: Tensor.zeros("F32", [2]) }, completeArgs({}), "F32"),
  ).toThrow("range: min has shape [1], expected [2] as max has.");
});

function fromBits(bits: string[]): Tensor<"F32"> {
  const words = Uint32Array.from(bits, (hex) => Number.parseInt(hex, 16));
  return new Tensor("F32", [words.length, 1], new Float32Array(words.buffer));
}
