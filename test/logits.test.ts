import { describe, expect, test } from "vitest";
import { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, LEARNT_POSITIONS, loadFixtureModel, readGoldenLogits } from "./fixture-model.ts";
import { type Batch, runSequentially, runWhole } from "./run-model.ts";

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const golden = readGoldenLogits(name);
  const padded: Batch = { input_ids: tensor("input_ids"), attention_mask: tensor("attention_mask") };
  const unpadded: Batch = { input_ids: firstRow(tensor("input_ids")) };

  test("run as a whole, the logits of a padded batch are those of transformers", async () => {
    expectLogits(await runWhole(loadFixtureModel(name), padded), tensor("logits"), padded);
  });

  test("run as a whole, the logits without a mask are those of transformers", async () => {
    expectLogits(await runWhole(loadFixtureModel(name), unpadded), tensor("logits_unpadded"), unpadded);
  });

  test.each([1, 2])(
    "run by %i targets at a time, the logits of a padded batch are the same",
    async (targetsPerSubgraph) => {
      const logits = await runSequentially(loadFixtureModel(name), padded, { targetsPerSubgraph });
      expectLogits(logits, tensor("logits"), padded);
    },
  );

  test.each([1, 2])(
    "run by %i targets at a time, the logits without a mask are the same",
    async (targetsPerSubgraph) => {
      const logits = await runSequentially(loadFixtureModel(name), unpadded, { targetsPerSubgraph });
      expectLogits(logits, tensor("logits_unpadded"), unpadded);
    },
  );

  test("run in parts that end with their target, the logits are the same", async () => {
    const logits = await runSequentially(loadFixtureModel(name), padded, { boundary: "target-closes" });
    expectLogits(logits, tensor("logits"), padded);
  });

  const at = (shift: bigint): Batch => ({
    ...unpadded,
    position_ids: new Tensor(
      "I64",
      [1, 12],
      BigInt64Array.from({ length: 12 }, (_, index) => BigInt(index) + shift),
    ),
  });

  test("position ids that are given count as those that follow from the text", async () => {
    expectLogits(await runSequentially(loadFixtureModel(name), at(0n)), tensor("logits_unpadded"), unpadded);
  });

  test("positions matter by their distance where they are angles, and by themselves where they are learnt", async () => {
    const shifted = await runSequentially(loadFixtureModel(name), at(5n));
    const compare = () => expectLogits(shifted, tensor("logits_unpadded"), unpadded);
    if (LEARNT_POSITIONS.includes(name)) expect(compare).toThrow("expected");
    else compare();
  });

  function tensor(key: string): Tensor {
    return golden.get(key) as Tensor;
  }
});

/** Compares where there is no padding: within 2e-5 of the largest logit, in float32. */
function expectLogits(found: Tensor, expected: Tensor, { attention_mask }: Batch): void {
  const largest = Math.max(...[...expected.data].map((logit) => Math.abs(Number(logit))));
  expect(tokensOf(found, attention_mask)).toBeAllClose(tokensOf(expected, attention_mask), { atol: 2e-5 * largest });
}

/** The rows of [batch, seq, columns] at which the mask is 1. */
function tokensOf({ shape, data }: Tensor, mask?: Tensor): { shape: number[]; data: number[] } {
  const columns = shape[2];
  const kept = [...data].map(Number).filter((_, index) => !mask || mask.data[Math.floor(index / columns)] === 1n);
  return { shape: [kept.length / columns, columns], data: kept };
}

function firstRow({ shape, data }: Tensor): Tensor {
  return new Tensor("I64", [1, shape[1]], data.slice(0, shape[1]) as BigInt64Array<ArrayBuffer>);
}
