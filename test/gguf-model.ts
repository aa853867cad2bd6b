import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { exportModel } from "../src/export/export-model.ts";
import { ExportSource } from "../src/export/export-source.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { openGguf, topLogits } from "./llama-cpp.ts";
import { runWhole } from "./run-model.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Exports a checkpoint, and returns the path of its only file. */
export async function exportGguf(
  model: string,
  options: { dtype?: string[]; embeddingDtype?: string } = {},
): Promise<string> {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model, format: ["gguf"], output, ...options });
  const [file, ...others] = await readdir(output);
  expect(others).toEqual([]);
  return join(output, file);
}

/** Our own logits of a checkpoint, a row for each token. */
export async function ownLogits(folder: string, tokens: readonly number[]): Promise<Float32Array[]> {
  const source = await ExportSource.open(folder);
  try {
    const batch = { input_ids: new Tensor("I64", [1, tokens.length], BigInt64Array.from(tokens, BigInt)) };
    const { shape, data } = (await runWhole(source.model, batch)) as Tensor<"F32">;
    return tokens.map((_, row) => data.subarray(row * shape[2], (row + 1) * shape[2]));
  } finally {
    await source.close();
  }
}

/** The two best tokens of a row of logits. */
function best(logits: Float32Array): { token: number; margin: number } {
  const [first, second] = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
  return { token: first, margin: logits[first] - logits[second] };
}

/** The share of places at which llama.cpp and our evaluation of `folder` have the same best next token. */
export async function agreement(file: string, folder: string, tokens: readonly number[], noise = 0): Promise<number> {
  const [theirs, ours] = [await topLogits(await openGguf(file), tokens, 1), await ownLogits(folder, tokens)];
  const clear = ours.map(best).flatMap(({ token, margin }, row) => (margin > noise ? [{ token, row }] : []));
  return clear.filter(({ token, row }) => theirs[row].has(token)).length / clear.length;
}
