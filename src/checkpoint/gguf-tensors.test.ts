import { expect, test } from "vitest";
import { ARCHITECTURES, type Architecture } from "../gguf/architectures.ts";
import { tensorInfos } from "./gguf-tensors.ts";

const mixtral = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes("mixtral")) as Architecture;
const heads = { queries: 4, keys: 2 };

/** A tensor of experts. */
function stacked(shape: readonly number[]) {
  const end = 100 + 4 * shape.reduce((product, size) => product * size, 1);
  return { name: "blk.1.ffn_up_exps.weight", type: "F32", shape, begin: 100, end } as const;
}

test("each expert of a stack has its part of the bytes", () => {
  expect(tensorInfos("m.gguf", stacked([3, 2, 5]), mixtral, heads)).toEqual(
    [0, 1, 2].map((expert) => ({
      name: `model.layers.1.block_sparse_moe.experts.${expert}.w3.weight`,
      shape: [2, 5],
      file: "m.gguf",
      begin: 100 + 40 * expert,
      end: 140 + 40 * expert,
      dtype: "F32",
    })),
  );
});

test.each([[[6, 5]], [[5000, 1, 1]]])("a stack of shape %j is refused", (shape) => {
  expect(() => tensorInfos("m.gguf", stacked(shape), mixtral, heads)).toThrow(
    `m.gguf: blk.1.ffn_up_exps.weight has shape [${shape.join(", ")}], expected a matrix for each of at most 4096 experts.`,
  );
});
