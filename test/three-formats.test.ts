import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { exportModel } from "../src/export/export-model.ts";
import { ExportSource } from "../src/export/export-source.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { parseGgufHeader } from "../src/gguf/parse-header.ts";
import { oneshot } from "../src/oneshot.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { openOnnxFiles } from "../src/verify/onnx-file.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const model = fileURLToPath(new URL("../examples/moby-tiny", import.meta.url));

/** Linears whose rows GGUF keeps in order, with what it calls them. */
const LINEARS = [
  ["model.layers.0.self_attn.v_proj", "blk.0.attn_v"],
  ["model.layers.2.self_attn.o_proj", "blk.2.attn_output"],
  ["model.layers.3.mlp.down_proj", "blk.3.ffn_down"],
] as const;

test("one run writes a checkpoint, an ONNX folder and a GGUF file, and all three hold the same integers", async () => {
  const output = join(await temporaryFolder(), "output");
  const dataset = [{ text: "Call me Ishmael." }];
  const format = ["compressed-tensors", "onnx", "gguf"];
  await oneshot({ model, recipe: modifierFor("gguf"), dataset, output, format, threads: 1 });
  const [onnx, gguf] = [await onnxCodes(`${output}-onnx`), await ggufCodes(`${output}-gguf/output-Q4_0.gguf`)];
  const source = await ExportSource.open(output);
  for (const [path, name] of LINEARS) {
    const { codes } = (await source.quantizedWeight(path)) ?? {};
    expect(codes).toBeDefined();
    const expected = Array.from(codes?.data ?? [], (code) => code + 8);
    expect(onnx.get(`${path}.weight.codes`)).toEqual(expected);
    expect(gguf.get(`${name}.weight`)).toEqual(expected);
  }
  await source.close();
});

test.each([
  ["onnx", "q4"],
  ["gguf", "Q4_0"],
])("a dense checkpoint is rounded for %s, and a warning says so", async (format, dtype) => {
  const output = join(await temporaryFolder(), "output");
  const warnings: string[] = [];
  const onProgress = (event: ProgressEvent) => event.type === "warning" && warnings.push(event.message);
  await exportModel({ model, format: [format], dtype: [dtype], output, onProgress });
  expect(warnings).toEqual([
    `${dtype}: the checkpoint is dense; weights are rounded to nearest, without calibration. Compress it first.`,
  ]);
});

/** Two codes in each byte, the first in its low half. */
async function onnxCodes(folder: string): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for await (const file of openOnnxFiles(folder)) {
    for (const tensor of file.tensors.values()) {
      const { data } = await file.read(tensor);
      if (tensor.dtype === "U8")
        found.set(
          tensor.name,
          Array.from(data as Uint8Array).flatMap((byte) => [byte & 15, byte >> 4]),
        );
    }
  }
  return found;
}

/** Blocks of a float16 scale and 16 bytes, whose low halves come before their high ones. */
async function ggufCodes(path: string): Promise<Map<string, number[]>> {
  const bytes = await readFile(path);
  const { tensors } = parseGgufHeader(path, bytes, bytes.length);
  return new Map(
    tensors.map(({ name, begin, end }) => {
      const blocks = Array.from({ length: (end - begin) / 18 }, (_, index) => begin + 18 * index);
      const codes = blocks.map((start) => Array.from(bytes.subarray(start + 2, start + 18)));
      return [name, codes.flatMap((block) => [...block.map((byte) => byte & 15), ...block.map((byte) => byte >> 4)])];
    }),
  );
}
