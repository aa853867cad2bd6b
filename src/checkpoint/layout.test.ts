import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CheckpointError } from "../errors.ts";
import { planFiles, type TensorSpec } from "./layout.ts";
import { readHeader } from "./safetensors.ts";

const FIXTURES = new URL("../../test/fixtures/", import.meta.url).pathname;
const saved = [
  "checkpoint/layout.safetensors",
  ...readdirSync(`${FIXTURES}models`).map((model) => `models/${model}/model.safetensors`),
];

test.each(saved)("%s: the header is the one that Python's safetensors wrote, byte for byte", async (file) => {
  const tensors = await readHeader(FIXTURES + file);
  const [{ header, places, size }] = planFiles(tensors.toReversed());
  const bytes = readFileSync(FIXTURES + file);
  expect(Buffer.from(header).toString()).toBe(bytes.subarray(0, header.length).toString());
  expect(size).toBe(bytes.length);
  const expected = tensors.map(({ name, begin, end }) => [name, { position: begin, length: end - begin }]);
  expect([...places]).toEqual(expected);
});

test("without tensors there is one file with a header", () => {
  const [{ name, header, places, size }] = planFiles([]);
  expect({ name, size, tensors: [...places] }).toEqual({ name: "model.safetensors", size: 40, tensors: [] });
  expect(Buffer.from(header).toString("latin1")).toBe('\x20\0\0\0\0\0\0\0{"__metadata__":{"format":"pt"}}');
});

test.each<[limit: number, files: string[]]>([
  [11, ["model.safetensors: a b c"]],
  [10, ["model-00001-of-00002.safetensors: a b", "model-00002-of-00002.safetensors: c"]],
  [9, ["model-00001-of-00002.safetensors: a", "model-00002-of-00002.safetensors: b c"]],
  [
    6,
    [
      "model-00001-of-00003.safetensors: a",
      "model-00002-of-00003.safetensors: b",
      "model-00003-of-00003.safetensors: c",
    ],
  ],
  [
    1,
    [
      "model-00001-of-00003.safetensors: a",
      "model-00002-of-00003.safetensors: b",
      "model-00003-of-00003.safetensors: c",
    ],
  ],
])("tensors of 4, 6 and 1 bytes in shards of at most %i bytes", (limit, files) => {
  const tensors = [bytes("c", 1), bytes("a", 4), bytes("b", 6)];
  const plan = planFiles(tensors, limit);
  expect(plan.map(({ name, places }) => `${name}: ${[...places.keys()].join(" ")}`)).toEqual(files);
  for (const { header, places, size } of plan) {
    expect(size).toBe(header.length + [...places.values()].reduce((sum, { length }) => sum + length, 0));
  }
});

test("a shard holds 20 GB unless told", () => {
  const tensors = [bytes("a", 12e9), bytes("b", 8e9), bytes("c", 1)];
  expect(planFiles(tensors).map(({ places }) => [...places.keys()])).toEqual([["a", "b"], ["c"]]);
});

test.each([
  [["a", "b", "a"], "a: two tensors named so, expected a name of its own for each tensor. Rename it."],
  [["__metadata__"], "__metadata__: a tensor named so, expected a name of its own for each tensor. Rename it."],
])("the names %j are refused", (names, message) => {
  expect(() => planFiles(names.map((name) => bytes(name, 1)))).toThrow(new CheckpointError(message));
});

test.each([0, -1, Number.NaN])("a limit of %d is refused", (limit) => {
  expect(() => planFiles([], limit)).toThrow(
    new CheckpointError(`maxShardSize: ${limit}, expected a number of bytes. Leave it out for 20 GB.`),
  );
});

function bytes(name: string, length: number): TensorSpec {
  return { name, dtype: "U8", shape: [length] };
}
