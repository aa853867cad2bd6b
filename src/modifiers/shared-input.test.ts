import { expect, test } from "vitest";
import { CompressionError } from "../errors.ts";
import { Linear } from "../nn/linear.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { CompressionStage } from "./modifier.ts";
import { bySharedInput } from "./shared-input.ts";
import { secondMoment, type Tap } from "./tap.ts";

const targets = ["q_proj", "k_proj", "o_proj"].map((path) => ({ path, module: new Linear(2, 2) }));
const taps = new Map(targets.map(({ module }): [Linear, Tap] => [module, { module, reduce: secondMoment }]));

/** A stage in which each tap has seen what `seen` holds at its place. */
function stageOf(seen: readonly (Tensor<"F32"> | undefined)[]): CompressionStage {
  const statistics = new Map([...taps.values()].map((tap, index) => [tap, seen[index]]));
  const shared = new Map(seen.map((value) => [value, value && { value, sequences: 1 }]));
  return { statistic: (tap: Tap) => shared.get(statistics.get(tap)) } as CompressionStage;
}

test("targets that read one value are together", () => {
  const [a, b] = [Tensor.zeros("F32", [2, 2]), Tensor.zeros("F32", [2, 2])];
  const groups = [...bySharedInput(stageOf([a, a, b]), targets, taps).values()];
  expect(groups.map((group) => group.map(({ path }) => path))).toEqual([["q_proj", "k_proj"], ["o_proj"]]);
});

test("a target that was never run is an error", () => {
  expect(() => bySharedInput(stageOf([Tensor.zeros("F32", [2, 2])]), targets, taps)).toThrow(
    new CompressionError("k_proj: never run on the calibration data, expected some input. Add it to ignore."),
  );
});
