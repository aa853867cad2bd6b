import { expect, test } from "vitest";
import { goldenTables, readGolden } from "../../test/compressed-tensors.ts";
import { memorylessMinmax } from "../observers/minmax.ts";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { type QuantizedWeight, quantizeWeight } from "../schemes/quantize.ts";
import { scaleShape } from "../schemes/tiling.ts";
import { Tensor } from "../tensor/tensor.ts";
import { packQuantized } from "./pack-quantized.ts";

test("zero points are packed along the rows", () => {
  const zeroPoint = new Tensor("I8", [3, 2], Int8Array.of(-8, 0, 1, 2, 7, -3));
  const args = completeArgs({ numBits: 4, groupSize: 2, symmetric: false });
  const tensors = packQuantized.compress("m", quantized([3, 4], { zeroPoint, args }));
  expect(tensors.get("m.weight_zero_point")).toEqual(new Tensor("I32", [1, 2], Int32Array.of(0xf90, 0x5a8)));
  expect(packQuantized.restore("m", tensors, args).zeroPoint).toEqual(zeroPoint);
});

test("zero points in float32 are refused", () => {
  const args = completeArgs({ numBits: 4, groupSize: 2, symmetric: false, zpDtype: "torch.float32" });
  expect(() => packQuantized.tensors("m", [3, 4], "F32", args)).toThrow(
    "m: zp_dtype torch.float32, expected integers for pack-quantized. Remove one.",
  );
});

test("groups of zeros are stored as code 0 with the smallest scale", () => {
  const weight = Tensor.zeros("F32", [1, 16]);
  const args = completeArgs({ numBits: 4, groupSize: 8 });
  const qparams = computeQParams(memorylessMinmax.observe(weight, args, "m"), args, "F32");
  const tensors = packQuantized.compress("m", quantizeWeight(weight, qparams, args));
  expect(tensors.get("m.weight_packed")?.data).toEqual(Int32Array.of(0x88888888, 0x88888888));
  expect(tensors.get("m.weight_scale")?.data).toEqual(Float32Array.of(2 ** -23, 2 ** -23));
});

test("the one zero point of strategy tensor is stored as it is", () => {
  const zeroPoint = new Tensor("I8", [1], Int8Array.of(-3));
  const args = completeArgs({ numBits: 4, strategy: "tensor", symmetric: false });
  const tensors = packQuantized.compress("m", quantized([3, 4], { zeroPoint, args }));
  expect(tensors.get("m.weight_zero_point")).toBe(zeroPoint);
  expect(packQuantized.tensors("m", [3, 4], "F32", args).at(-1)).toEqual({
    name: "m.weight_zero_point",
    dtype: "I8",
    shape: [1],
  });
  expect(packQuantized.restore("m", tensors, args).zeroPoint).toBe(zeroPoint);
});

test("the packing of older files is recognised, for weights and zero points alike", () => {
  const { q, packed_dim1 } = goldenTables.pack_int32_word_aligned["5"];
  const [columns, words] = [q[0].length, packed_dim1[0].length];
  // a zero point for each of 37 rows: the columns of the transposed words
  const tensors = new Map<string, Tensor>([
    ["m.weight_packed", new Tensor("I32", [37, words], Int32Array.from(Array(37).fill(packed_dim1[0]).flat()))],
    ["m.weight_scale", new Tensor("F32", [37, 1], new Float32Array(37).fill(1))],
    ["m.weight_shape", new Tensor("I64", [2], BigInt64Array.of(37n, BigInt(columns)))],
    ["m.weight_zero_point", new Tensor("I32", [words, 1], Int32Array.from(packed_dim1[1]))],
  ]);
  const restored = packQuantized.restore(
    "m",
    tensors,
    completeArgs({ numBits: 5, strategy: "channel", symmetric: false }),
  );
  expect(Array.from(restored.codes.data.subarray(36 * columns))).toEqual(q[0]);
  expect(Array.from(restored.zeroPoint?.data ?? [])).toEqual(q[1]);
});

test("columns that name their groups, as in older files, are decoded as the reference decoded them", () => {
  const tensors = readGolden("legacy-w4a16-g32-actorder-group");
  const stored = new Map([...tensors].map(([key, tensor]) => [key.replace(/^out\./, "m."), tensor]));
  const args = completeArgs({ numBits: 4, groupSize: 32 });
  expect(packQuantized.decompress("m", stored, args)).toEqual(tensors.get("ref.dequant"));
});

test.each<[string, Tensor | undefined, string]>([
  ["weight_packed", undefined, "m.weight_packed: missing, expected it beside the module's other tensors."],
  ["weight_packed", Tensor.zeros("I32", [3, 2]), "m.weight_packed: 2 words for 4 codes of 4 bits, expected 1."],
  ["weight_scale", Tensor.zeros("U8", [3, 1]), "m.weight_scale: dtype U8, expected F32, F16 or BF16."],
  ["weight_shape", Tensor.zeros("I32", [2]), "m.weight_shape: dtype I32, expected I64."],
  ["weight_zero_point", Tensor.zeros("I32", [3, 1]), "m.weight_zero_point: shape [3, 1], expected [1, 1]."],
])("a %s that is missing or wrong is an error that names it", (suffix, tensor, message) => {
  const args = completeArgs({ numBits: 4, strategy: "channel", symmetric: false });
  const tensors = packQuantized.compress("m", quantized([3, 4], { args, zeroPoint: Tensor.zeros("I8", [3, 1]) }));
  if (tensor) tensors.set(`m.${suffix}`, tensor);
  else tensors.delete(`m.${suffix}`);
  expect(() => packQuantized.restore("m", tensors, args)).toThrow(message);
});

function quantized(shape: number[], rest: Pick<QuantizedWeight, "args" | "zeroPoint">): QuantizedWeight {
  return { codes: Tensor.zeros("I8", shape), scale: Tensor.zeros("F32", scaleShape(rest.args, shape)), ...rest };
}
