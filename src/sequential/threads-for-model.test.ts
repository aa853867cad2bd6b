import { expect, test } from "vitest";
import { loadFixtureModel } from "../../test/fixture-model.ts";
import { calibrateAllExperts } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { Tensor } from "../tensor/tensor.ts";
import { threadsForModel } from "./threads-for-model.ts";

const batchOf = (tokens: number) => ({ input_ids: Tensor.zeros("I64", [1, tokens]) });

test("runs of as many tokens as a linear has outputs take all threads, shorter ones as few as leave its sums alike", () => {
  const model = loadFixtureModel("llama");
  const outputs = model.namedModules().flatMap(([, module]) => (module instanceof Linear ? [module.outFeatures] : []));
  expect(threadsForModel(model, [batchOf(Math.max(...outputs))], 8)).toBe(8);
  expect(Math.min(...outputs)).toBeLessThan(160); // ten times sixteen: two shares of five
  expect(threadsForModel(model, [batchOf(1000), batchOf(1)], 8)).toBe(1);
});

test("an expert may be given a single token, however many a run has, unless it is calibrated with all", () => {
  const model = loadFixtureModel("mixtral");
  const batch = batchOf(1000);
  expect(threadsForModel(model, [batch], 8)).toBe(1);
  calibrateAllExperts(model);
  expect(threadsForModel(model, [batch], 8)).toBe(8);
});
