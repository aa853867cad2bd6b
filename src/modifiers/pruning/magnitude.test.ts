import { describe, expect, test } from "vitest";
import { RecipeError } from "../../errors.ts";
import { Linear } from "../../nn/linear.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { MagnitudePruningModifier, smallestMagnitudes } from "./magnitude.ts";
import { parseMagnitudeStructure } from "./magnitude-structure.ts";

const weight = new Tensor("F32", [2, 4], Float32Array.of(1, -2, 3, -4, 0.5, 0.5, -0.25, 8));

function prune(structure: string, sparsity: number): number[] {
  return [...smallestMagnitudes(weight, sparsity, parseMagnitudeStructure(structure, "mask_structure"))];
}

describe("what is smallest", () => {
  test("of all weights, with all that tie with the last of them", () => {
    expect(prune("unstructured", 0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(prune("unstructured", 0.25)).toEqual([0, 0, 0, 0, 1, 1, 1, 0]);
    expect(prune("unstructured", 1)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test("of blocks, by the sum of what is in them", () => {
    expect(prune("block_1,2", 0.25)).toEqual([0, 0, 0, 0, 1, 1, 0, 0]);
    expect(prune("block_2,1", 0.5)).toEqual([1, 1, 0, 0, 1, 1, 0, 0]);
  });

  test("of every M neighbours, whatever the share", () => {
    expect(prune("2:4", 0)).toEqual([1, 1, 0, 0, 1, 0, 1, 0]);
  });
});

test.each(["channel", "filter", "block_0,1", "block_2", "4:2"])("%s is no structure of a linear's weight", (text) => {
  expect(() => new MagnitudePruningModifier({ finalSparsity: 0.5, maskStructure: text })).toThrow(RecipeError);
});

test("blocks that do not divide a weight are refused with its name", () => {
  const modifier = new MagnitudePruningModifier({ finalSparsity: 0.5, maskStructure: "block_4,2" });
  expect(() => modifier.initialize(new Linear(6, 6))).toThrow(
    ": a weight of [6, 6], expected multiples of [4, 2]. Change mask_structure or add the module to ignore.",
  );
});
