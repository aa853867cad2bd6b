import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { loadFixtureModel, readGoldenLogits } from "../../test/fixture-model.ts";
import { columnRange } from "../modifiers/smoothing/reductions.ts";
import { columnEnergy, rangeOfSequences, secondMoment, type Tap } from "../modifiers/tap.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import { dispatchForSequential } from "./dispatch.ts";
import type { CalibrationExecutor, Observed } from "./executor.ts";
import { LocalExecutor } from "./local-executor.ts";
import { ParallelExecutor } from "./parallel-executor.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

const golden = readGoldenLogits("llama");
const input_ids = golden.get("input_ids") as Tensor<"I64">;

/** Batches that differ: the model's fixture, its tokens moved on. */
const batches = Array.from({ length: 5 }, (_, shift) => ({
  input_ids: new Tensor(
    "I64",
    input_ids.shape,
    input_ids.data.map((id) => (id + BigInt(shift)) % 50n),
  ),
}));
const model = loadFixtureModel("llama");
const subgraphs = traceSubgraphs(model, batches[0], model.noSplitModules);
const dispatched = await dispatchForSequential(model, { device: "cpu", threads: 1 });
const taps: Tap[] = subgraphs[1]
  .submodules()
  .filter(([, module]) => module instanceof Linear)
  .flatMap(([, module]) =>
    [secondMoment, columnEnergy, columnRange, rangeOfSequences(1)].map((reduce) => ({ module, reduce })),
  );

/** An executor of some batches, which takes its time after each. */
class Slow extends LocalExecutor {
  constructor(
    own: typeof batches,
    private readonly wait: number,
  ) {
    super(subgraphs, dispatched, own);
  }
  override async propagate(...args: Parameters<LocalExecutor["propagate"]>): Promise<void> {
    await sleep(this.wait);
    await super.propagate(...args);
  }
  override async *calibrate(...args: Parameters<LocalExecutor["calibrate"]>): AsyncGenerator<Observed> {
    for await (const observed of super.calibrate(...args)) {
      await sleep(this.wait);
      yield observed;
    }
  }
}

/** What is seen of the second subgraph, and how far its attention is off with weights of zero. */
async function observe(executor: CalibrationExecutor) {
  let told = 0;
  const onBatch = () => {
    told += 1;
  };
  await executor.propagate(0, subgraphs[0].consumedNames, onBatch);
  const seen: Observed[] = [];
  for await (const observed of executor.calibrate(1, taps, onBatch)) seen.push(observed);
  const attention = new Map(model.namedModules()).get("model.layers.0.self_attn") as Module;
  const replay = await executor.record(1, attention);
  const zeros = attention.namedParameters().map(([, parameter]) => [parameter, Tensor.zeros("F32", parameter.shape)]);
  const errors: number[] = [];
  for (let batch = 0; batch < replay.batches; batch++)
    errors.push(await replay.error(new Map(zeros as [Parameter, Tensor<"F32">][]), batch));
  await replay.close();
  await executor.forget();
  await executor.endSubgraph();
  await executor.close();
  return { seen, errors, told };
}

/** Executors of shares that end at these batches; the first ones are the slowest. */
function parallel(...ends: number[]): ParallelExecutor {
  const shares = ends.map((end, index) => batches.slice(ends[index - 1] ?? 0, end));
  return new ParallelExecutor(shares.map((share, index) => new Slow(share, 10 * (ends.length - index))));
}

const alone = await observe(new LocalExecutor(subgraphs, dispatched, batches));

test.each([[[5]], [[2, 5]], [[1, 3, 5]], [[1, 2, 3, 4, 5]]])(
  "executors of shares up to %j see together what one sees of all batches",
  async (ends) => {
    const together = await observe(parallel(...ends));
    expect([together.told, together.seen.length]).toEqual([alone.told, alone.seen.length]);
    for (const [index, { taps: same, statistic }] of together.seen.entries()) {
      const expected = alone.seen[index];
      expect([same, statistic.sequences]).toEqual([expected.taps, expected.statistic.sequences]);
      const largest = expected.statistic.value.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(statistic.value).toBeAllClose(expected.statistic.value, { atol: 1e-6 * largest });
    }
    expect(together.errors).toEqual(alone.errors);
  },
);

test("what is seen does not depend on which executor is done first", async () => {
  const { seen } = await observe(parallel(2, 5));
  const shares = [batches.slice(0, 2), batches.slice(2)];
  const other = await observe(new ParallelExecutor(shares.map((share, index) => new Slow(share, 10 * index))));
  expect(other.seen.map(({ statistic }) => statistic)).toEqual(seen.map(({ statistic }) => statistic));
});

test("after a restart, the model's inputs are there again", async () => {
  const executor = parallel(2, 5);
  await executor.propagate(0, subgraphs[0].consumedNames, () => undefined);
  await executor.restart();
  expect((await observe(executor)).seen).toHaveLength(alone.seen.length);
});
