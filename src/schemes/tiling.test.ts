import { expect, test } from "vitest";
import { completeArgs } from "./arguments-schema.ts";
import { forEachRun, scaleShape, tilingOf } from "./tiling.ts";

test("scales have the shapes that compressed-tensors stores", () => {
  expect(scaleShape(completeArgs({ strategy: "tensor" }), [6, 8])).toEqual([1]);
  expect(scaleShape(completeArgs({ strategy: "channel" }), [6, 8])).toEqual([6, 1]);
  expect(scaleShape(completeArgs({ groupSize: 4 }), [6, 8])).toEqual([6, 2]);
  expect(scaleShape(completeArgs({ strategy: "tensor_group", groupSize: 4 }), [6, 8])).toEqual([6, 2]);
  expect(scaleShape(completeArgs({ strategy: "block", blockStructure: [4, 4] }), [6, 8])).toEqual([2, 2]);
});

test.each([
  ["tensor", { strategy: "tensor" }, ["0-4 0", "4-8 0"]],
  ["channel", { strategy: "channel" }, ["0-4 0", "4-8 1"]],
  ["group", { groupSize: 2 }, ["0-2 0", "2-4 1", "4-6 2", "6-8 3"]],
] as const)("strategy %s gives each run of elements its scale", (_, partial, runs) => {
  expect(runsOf(tilingOf(completeArgs(partial), [2, 4]), [2, 4])).toEqual(runs);
});

test("tiles that do not divide the weight are cut at its edges", () => {
  const blocks = { rows: 2, columns: 2, scaleShape: [2, 2] };
  expect(runsOf(blocks, [3, 3])).toEqual(["0-2 0", "2-3 1", "3-5 0", "5-6 1", "6-8 2", "8-9 3"]);
});

test("a group size that does not divide the columns is an error that names the module and sizes that do", () => {
  expect(() => tilingOf(completeArgs({ groupSize: 128 }), [8, 4095], "model.layers.3.mlp.down_proj")).toThrow(
    "model.layers.3.mlp.down_proj: 4095 columns, expected a multiple of group_size 128. " +
      "Change group_size (117 or 195 would do) or add it to ignore.",
  );
});

test("a weight narrower than one group is the same error", () => {
  expect(() => tilingOf(completeArgs({ groupSize: 128 }), [8, 64], "lm_head")).toThrow(
    "lm_head: 64 columns, expected a multiple of group_size 128. Change group_size (64 would do) or add it to ignore.",
  );
});

test("a strategy that is not one for weights is an error", () => {
  expect(() => tilingOf(completeArgs({ strategy: "token", dynamic: true }), [8, 64], "lm_head")).toThrow(
    "lm_head: strategy token is not supported for weights, expected one of tensor, channel, group, tensor_group, block.",
  );
});

test("a weight of three dimensions is an error", () => {
  expect(() => tilingOf(completeArgs({}), [2, 8, 64], "experts")).toThrow(
    "experts: shape [2, 8, 64], expected two dimensions.",
  );
});

function runsOf(tiling: ReturnType<typeof tilingOf>, shape: readonly number[]): string[] {
  const runs: string[] = [];
  forEachRun(tiling, shape, (start, end, index) => runs.push(`${start}-${end} ${index}`));
  return runs;
}
