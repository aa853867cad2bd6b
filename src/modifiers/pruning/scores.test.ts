import { describe, expect, test } from "vitest";
import { parseMaskStructure } from "./mask-structure.ts";
import { pruneByRow, wandaScores, withZeros } from "./scores.ts";

describe("Wanda, on the worked example of the specification", () => {
  const weight = Float32Array.of(1, -0.5, 0.25, 2, -1.5, 0.75, 0.1, -0.3);
  const norms = Float32Array.of(10, 5, 2.25, 5).map(Math.sqrt);
  test.each(["2:4", "0:0"])("%s", (text) => {
    const structure = parseMaskStructure(text, "mask_structure");
    const pruned = pruneByRow(wandaScores(weight, norms), 4, { sparsity: 0.5, structure });
    expect([...withZeros(weight, pruned)]).toEqual([1, 0, 0, 2, -1.5, 0.75, 0, 0]);
  });
});

test.each(["4:2", "2:2", "0:4", "2", "a:b", "-1:4", "2:4:8"])("%s is no mask structure", (text) => {
  expect(() => parseMaskStructure(text, "mask_structure")).toThrow(
    `mask_structure: "${text}", expected N:M with N from 1 to M − 1, such as 2:4, or 0:0 for none.`,
  );
});
