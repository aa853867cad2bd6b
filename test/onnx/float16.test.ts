import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { loadTokenizer } from "../../src/data/tokenizer.ts";
import { exportModel } from "../../src/export/export-model.ts";
import { readTensorFile, writeTensorFile } from "../../src/output/tensor-file.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { DecoderSession } from "../../src/verify/decoder-session.ts";
import { temporaryFolder } from "../temporary-folder.ts";

const example = fileURLToPath(new URL("../../examples/moby-tiny", import.meta.url));

/** Adds so much to the exponents of bfloat16 that values grow 2¹⁹-fold. */
const GROWTH = 19 << 7;

test("values past float16's limit stay in float32: the logits are finite, and those of float32", async () => {
  const model = await exampleWithLargeEmbeddings();
  const output = join(await temporaryFolder(), "onnx");
  const warnings: string[] = [];
  await exportModel({
    model,
    format: ["onnx"],
    dtype: ["fp32", "fp16"],
    output,
    onProgress: (event) => event.type === "warning" && warnings.push(event.message),
  });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(
    /^fp16: values near the limit of float16; float32 is kept in model\.embed_tokens \(embedding\), /,
  );
  expect(warnings[0]).toContain("model.layers.3.input_layernorm (rms_norm)");
  expect(warnings[0]).not.toContain("mlp.up_proj");

  const [full, half] = [await logitsOf(output, "model.onnx"), await logitsOf(output, "model_fp16.onnx")];
  const largest = Math.max(...full.map(Math.abs));
  expect(largest).toBeGreaterThan(65_504);
  expect(Math.max(...full.map((value, index) => Math.abs(value - half[index])))).toBeLessThan(0.01 * largest);
});

/** The example, whose norms do not mind how large a token's embedding is. */
async function exampleWithLargeEmbeddings(): Promise<string> {
  const folder = await temporaryFolder();
  for (const file of await readdir(example)) await copyFile(join(example, file), join(folder, file));
  const tensors = await readTensorFile(join(example, "model.safetensors"));
  const table = tensors.get("model.embed_tokens.weight") as Tensor<"BF16">;
  const grown = table.data.map((bits) => ((bits & 0x7fff) === 0 ? bits : bits + GROWTH));
  tensors.set("model.embed_tokens.weight", new Tensor("BF16", table.shape, grown));
  await writeTensorFile(join(folder, "model.safetensors"), tensors);
  return folder;
}

async function logitsOf(folder: string, file: string): Promise<number[]> {
  const tokens = (await loadTokenizer(example)).encode("Call me Ishmael.", { addSpecialTokens: true });
  const session = await DecoderSession.open(folder, file);
  onTestFinished(() => session.release());
  const row = (values: readonly number[]) => new Tensor("I64", [1, values.length], BigInt64Array.from(values, BigInt));
  const inputs = {
    ids: row(tokens),
    attentionMask: row(tokens.map(() => 1)),
    positions: row(tokens.map((_, position) => position)),
  };
  return [...(await session.run(inputs, session.emptyCache(1))).logits.data];
}
