import { expect, test } from "vitest";
import { Tensor } from "../tensor/tensor.ts";
import { LogitsComparison } from "./compare-logits.ts";

/** Logits of probabilities, token by token. */
function logits(...tokens: number[][]): Tensor<"F32"> {
  const values = tokens.flat().map((probability) => 3 + Math.log(probability)); // a constant changes nothing
  return new Tensor("F32", [1, tokens.length, tokens[0].length], Float32Array.from(values));
}

test("the divergence is Σ p log(p / q), the mean over tokens", () => {
  const comparison = new LogitsComparison();
  comparison.add(logits([0.5, 0.5], [0.2, 0.8]), logits([0.75, 0.25], [0.2, 0.8]));
  const { klDivergence, top1Agreement, tokens } = comparison.fidelity;
  expect(klDivergence).toBeCloseTo((0.75 * Math.log(1.5) + 0.25 * Math.log(0.5)) / 2, 6);
  expect([top1Agreement, tokens]).toEqual([1, 2]);
});

test("logits that predict worse than a blind guess, or are no numbers, are a problem", () => {
  const problemsOf = (found: Tensor<"F32">) => {
    const comparison = new LogitsComparison();
    comparison.add(found, logits([0.7, 0.2, 0.1]));
    return comparison.problems.map(({ message }) => message);
  };
  expect(problemsOf(logits([0.6, 0.3, 0.1]))).toEqual([]);
  expect(problemsOf(logits([0.1, 0.2, 0.7]))).toEqual([
    "logits: 1.168 nats a token from the original's, expected less than the 0.297 of a blind guess. Compress the model again, with more bits.",
  ]);
  expect(problemsOf(logits([Number.NaN, 0.2, 0.7]))).toHaveLength(1);
});
