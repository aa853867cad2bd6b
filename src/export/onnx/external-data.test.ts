import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { onnx } from "../../ops/onnx.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { ExternalData } from "./external-data.ts";
import type { StoredWeight } from "./stored-weight.ts";

test("initializers lie one after another, at multiples of 64 bytes, in chunks of bounded size", async () => {
  const data = new ExternalData("model_q4.onnx", 128);
  const sizes = [100, 20, 200, 8];
  const weights = sizes.map((size, index) => bytesOf(`w${index}`, size, index + 1));
  const places = weights.map(({ initializers: [spec] }) => data.place(spec));
  expect(places).toEqual([
    { file: "model_q4.onnx_data", offset: 0, length: 100 },
    { file: "model_q4.onnx_data_1", offset: 0, length: 20 },
    { file: "model_q4.onnx_data_2", offset: 0, length: 200 },
    { file: "model_q4.onnx_data_3", offset: 0, length: 8 },
  ]);
  expect(data.chunks).toBe(4);
  const folder = await temporaryFolder();
  await data.write(folder, weights);
  for (const [index, { file, offset, length }] of places.entries()) {
    const bytes = await readFile(join(folder, file));
    expect([...bytes.subarray(offset, offset + length)]).toEqual(Array(sizes[index]).fill(index + 1));
  }
});

test("initializers that fit share a chunk", () => {
  const data = new ExternalData("model.onnx", 128);
  const offsets = [10, 64].map((size, index) => data.place(bytesOf(`w${index}`, size, 0).initializers[0]).offset);
  expect(offsets).toEqual([0, 64]);
  expect(data.chunks).toBe(1);
});

function bytesOf(name: string, size: number, value: number): StoredWeight {
  return {
    initializers: [{ name, dtype: "U8", shape: [size] }],
    load: async () => [new Tensor("U8", [size], new Uint8Array(size).fill(value))],
    multiply: (x) => onnx("Identity", [x]),
    lookUp: (x) => onnx("Identity", [x]),
  };
}
