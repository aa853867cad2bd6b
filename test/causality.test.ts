import { describe, expect, test } from "vitest";
import type { Value } from "../src/runtime/executable.ts";
import { dispatchForSequential } from "../src/sequential/dispatch.ts";
import { traceSubgraphs } from "../src/sequential/trace-subgraphs.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, loadFixtureModel, readGoldenLogits } from "./fixture-model.ts";
import { type Batch, runSequentially, runSubgraphs, runWhole } from "./run-model.ts";

const SEQ = 12;

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const golden = readGoldenLogits(name);
  const padded: Batch = {
    input_ids: golden.get("input_ids") as Tensor,
    attention_mask: golden.get("attention_mask") as Tensor,
  };
  const unpadded: Batch = { input_ids: padded.input_ids };

  test.each([
    ["padded", padded],
    ["unpadded", unpadded],
  ])("the subgraphs of a %s batch give what the whole model gives", async (_, batch) => {
    const [parts, whole] = [
      await runSequentially(loadFixtureModel(name), batch),
      await runWhole(loadFixtureModel(name), batch),
    ];
    expect(parts).toBeAllClose(whole, { atol: 1e-5 });
  });

  test("the layers of a padded batch are masked: a mask that shows each token only itself gives other logits", async () => {
    const model = loadFixtureModel(name);
    const subgraphs = traceSubgraphs(model, padded, model.noSplitModules);
    const dispatched = await dispatchForSequential(model, { device: "cpu", threads: 1 });
    const masked = await runSubgraphs(subgraphs, dispatched, padded);
    const alone = await runSubgraphs(subgraphs, dispatched, padded, showOnlySelf);
    expect(changedTokens(masked, alone)[0]).toEqual(Array.from({ length: SEQ - 1 }, (_, token) => token + 1));
  });

  test("a mask that hides nothing gives what no mask gives", async () => {
    const attention_mask = new Tensor(
      "I64",
      padded.input_ids.shape,
      new BigInt64Array(padded.input_ids.data.length).fill(1n),
    );
    const masked = await runSequentially(loadFixtureModel(name), { ...unpadded, attention_mask });
    expect(masked).toBeAllClose(await runSequentially(loadFixtureModel(name), unpadded), { atol: 1e-5 });
  });

  test("a token changes no logits before it", async () => {
    const model = loadFixtureModel(name);
    const changed = { input_ids: withToken(unpadded.input_ids, 7) };
    const tokens = changedTokens(await runSequentially(model, unpadded), await runSequentially(model, changed));
    expect(tokens[0]).toEqual([7, 8, 9, 10, 11]);
  });

  test("padding changes no logits of the text", async () => {
    const model = loadFixtureModel(name);
    const secondText = SEQ;
    const changed = { ...padded, input_ids: withToken(padded.input_ids, secondText) };
    const tokens = changedTokens(await runSequentially(model, padded), await runSequentially(model, changed));
    expect(tokens).toEqual([[], [0]]);
  });
});

test("with a sliding window, a token changes logits only as far as the windows of all layers reach", async () => {
  const model = loadFixtureModel("mistral", { sliding_window: 3 }); // two layers: 2 tokens further each
  const batch = { input_ids: readGoldenLogits("mistral").get("input_ids") as Tensor };
  const changed = { input_ids: withToken(batch.input_ids, 2) };
  const tokens = changedTokens(await runSequentially(model, batch), await runSequentially(model, changed));
  expect(tokens[0]).toEqual([2, 3, 4, 5, 6]);
});

/** Masks BOOL[batch, 1, seq, seq] that show each query its own token alone. */
function showOnlySelf(outputs: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => {
      if (Array.isArray(value) || !(value as Tensor).is("BOOL")) return [name, value];
      const { shape, data } = value as Tensor<"BOOL">;
      return [
        name,
        new Tensor(
          "BOOL",
          shape,
          data.map((_, at) => Number(at % SEQ === Math.floor(at / SEQ) % SEQ)),
        ),
      ];
    }),
  );
}

/** `ids` with another token at `index` of the flat data. */
function withToken({ shape, data }: Tensor, index: number): Tensor<"I64"> {
  const changed = BigInt64Array.from(data as BigInt64Array);
  changed[index] = changed[index] === 100n ? 101n : 100n;
  return new Tensor("I64", shape, changed);
}

/** For each text of a batch, the tokens whose logits differ by more than rounding. */
function changedTokens(a: Tensor, b: Tensor): number[][] {
  const [batch, seq, columns] = a.shape;
  const differs = (token: number) => {
    const range = [token * columns, (token + 1) * columns] as const;
    const others = b.data.slice(...range);
    return [...a.data.slice(...range)].some((logit, index) => Math.abs(Number(logit) - Number(others[index])) > 1e-4);
  };
  return Array.from({ length: batch }, (_, text) =>
    Array.from({ length: seq }, (_, token) => token).filter((token) => differs(text * seq + token)),
  );
}
