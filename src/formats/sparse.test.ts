import { expect, test } from "vitest";
import { readGolden } from "../../test/compressed-tensors.ts";
import { isFloat, toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { decodeSparse, type SparseFormatName } from "./sparse.ts";

/** A golden case: what is stored of a module `m`, and the weight that it stands for. */
function golden(name: string) {
  const tensors = readGolden(`legacy-${name}`);
  const format: SparseFormatName = name.includes("24") ? "sparse-24-bitmask" : "sparse-bitmask";
  const prefix = format === "sparse-bitmask" ? "m.weight." : "m.";
  const stored = [...tensors].filter(([key]) => key.startsWith("out."));
  return {
    format,
    stored: new Map(stored.map(([key, tensor]) => [key.replace("out.", prefix), tensor])),
    weight: (tensors.get("ref.dequant") ?? tensors.get("in.weight")) as Tensor,
  };
}

test.each([
  "sparse-bitmask-fp32",
  "sparse-bitmask-bf16",
  "sparse-24-bitmask-fp32",
  "sparse-24-bitmask-bf16",
  "sparse-24-bitmask-fp8",
])("%s is decoded as the reference decodes it", (name) => {
  const { format, stored, weight } = golden(name);
  const decoded = decodeSparse(format, "m", stored, weight.shape);
  expect(decoded.dtype).toBe(weight.dtype);
  expect(numbersIn(decoded)).toEqual(numbersIn(weight));
});

test("values that are more or fewer than the bits are an error that names both", () => {
  const { stored, weight } = golden("sparse-bitmask-fp32");
  const short = new Map(stored).set("m.weight.compressed", Tensor.zeros("F32", [3]));
  expect(() => decodeSparse("sparse-bitmask", "m", short, weight.shape)).toThrow(
    /^m\.weight\.compressed: 3 values, expected \d+, as many as m\.weight\.bitmask has bits\.$/,
  );
});

/** The values, or the bytes of float8; a zero has no sign once it is pruned. */
function numbersIn(tensor: Tensor): number[] {
  const { data } = isFloat(tensor) ? toFloat32(tensor) : tensor;
  return Array.from(data as Uint8Array, (value) => value + 0);
}
