import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { exportModel } from "../../src/export/export-model.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DecoderSession } from "../../src/verify/decoder-session.ts";
import { FIXTURE_MODELS, readGoldenLogits } from "../fixture-model.ts";
import { temporaryFolder } from "../temporary-folder.ts";

/** What the reference counts text positions for; the others count padding too. */
const TEXT_POSITIONS = ["opt"];

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const golden = readGoldenLogits(name);
  const [ids, mask, expected] = ["input_ids", "attention_mask", "logits"].map((key) => golden.get(key) as Tensor) as [
    Tensor<"I64">,
    Tensor<"I64">,
    Tensor<"F32">,
  ];
  const [batch, length] = ids.shape;
  const positions = positionsOf(mask, TEXT_POSITIONS.includes(name));

  test("the exported decoder's logits of a padded batch are those of transformers", async () => {
    const session = await openExported(name);
    const { logits } = await session.run({ ids, attentionMask: mask, positions }, session.emptyCache(batch));
    expectSame(logits, expected, mask);
  });

  test("fed token by token, with what it keeps, it gives the same logits", async () => {
    const session = await openExported(name);
    let cache = session.emptyCache(batch);
    const steps: Tensor<"F32">[] = [];
    for (const [begin, end] of [[0, 3], ...Array.from({ length: length - 3 }, (_, step) => [step + 3, step + 4])]) {
      const [part, place] = [ids, positions].map((tensor) => columns(tensor, begin, end));
      const result = await session.run({ ids: part, attentionMask: columns(mask, 0, end), positions: place }, cache, 1);
      expect(result.logits.shape[1]).toBe(1);
      steps.push(result.logits);
      cache = result.cache;
    }
    for (const [step, logits] of steps.entries()) {
      const column = step + 2;
      expectSame(logits, tokensOf(expected, column), columns(mask, column, column + 1));
    }
  });
});

async function openExported(name: string): Promise<DecoderSession> {
  const output = join(await temporaryFolder(), "onnx");
  const model = fileURLToPath(new URL(`../fixtures/models/${name}`, import.meta.url));
  await exportModel({ model, format: ["onnx"], dtype: ["fp32"], output });
  const session = await DecoderSession.open(output, "model.onnx");
  onTestFinished(() => session.release());
  return session;
}

/** Compares the rows of tokens that are no padding, relative to the largest logit. */
function expectSame(found: Tensor<"F32">, expected: Tensor<"F32">, mask: Tensor<"I64">): void {
  expect(found.shape).toEqual(expected.shape);
  const width = expected.shape[2];
  const largest = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const errors = Array.from(mask.data, (seen, token) => {
    if (!seen) return 0;
    const row = (tensor: Tensor<"F32">) => tensor.data.subarray(token * width, (token + 1) * width);
    return Math.max(...row(expected).map((value, index) => Math.abs(value - row(found)[index]))) / largest;
  });
  expect(Math.max(...errors)).toBeLessThan(1e-4);
}

/** 0, 1, … in each row, or counting only tokens that are no padding. */
function positionsOf({ shape, data }: Tensor<"I64">, ofText: boolean): Tensor<"I64"> {
  const positions = BigInt64Array.from(data, (_, index) => {
    const column = index % shape[1];
    if (!ofText) return BigInt(column);
    const seen = data.subarray(index - column, index + 1).reduce((sum, value) => sum + value, 0n);
    return data[index] ? seen - 1n : 1n;
  });
  return new Tensor("I64", shape, positions);
}

function columns({ shape: [rows, width], data }: Tensor<"I64">, begin: number, end: number): Tensor<"I64"> {
  const size = end - begin;
  const picked = Array.from({ length: rows * size }, (_, i) => data[Math.floor(i / size) * width + begin + (i % size)]);
  return new Tensor("I64", [rows, size], BigInt64Array.from(picked));
}

/** The logits of one token of each row. */
function tokensOf({ shape: [rows, length, width], data }: Tensor<"F32">, token: number): Tensor<"F32"> {
  const result = Tensor.zeros("F32", [rows, 1, width]);
  for (let row = 0; row < rows; row++) {
    const begin = (row * length + token) * width;
    result.data.set(data.subarray(begin, begin + width), row * width);
  }
  return result;
}
