import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { toFloat32 } from "../src/tensor/convert.ts";
import type { FloatDType } from "../src/tensor/dtype.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { codeBlocks, transcript } from "./transcript.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Runs an example as a user does, against the built package; returns what it prints. */
async function run(example: string): Promise<string> {
  const { stdout } = await promisify(execFile)(here("../node_modules/.bin/tsx"), [here(`../examples/${example}`)], {
    cwd: here(".."),
  });
  return stdout;
}

test("the example that traces a model prints its subgraphs", async () => {
  const printed = await run("trace-a-model.ts");
  expect(printed).toContain(
    "const model_layers_0 = this.model.layers.0(model_embed_tokens, causal_mask, model_rotary_emb);",
  );
  expect(printed.match(/^consumes /gm)).toHaveLength(5);
});

test("the example that compresses a model prints each phase and what the result holds", async () => {
  const printed = await run("compress-a-model.ts");
  expect(printed).toContain(
    "subgraph 2 of 5: calibrating\nsubgraph 2 of 5: compressing\nsubgraph 2 of 5: propagating\n",
  );
  expect(printed).toContain("pack-quantized, int8 symmetric, group 128: 28 modules");
});

test("the example of an own modifier zeroes half of the weights, in the saved checkpoint too", async () => {
  const printed = await run("own-modifier.ts");
  const [, zeros, all] = /layers\.0\.mlp\.gate_proj: (\d+) of (\d+) weights are zero/.exec(printed) ?? [];
  expect(Number(zeros) / Number(all)).toBeCloseTo(0.5, 1);
  const saved = readSafetensors(new URL("../out/moby-tiny-sparse/model.safetensors", import.meta.url));
  const weight = toFloat32(saved.get("model.layers.0.mlp.gate_proj.weight") as Tensor<FloatDType>);
  expect(weight.data.filter((value) => value === 0)).toHaveLength(Number(zeros));
});

test("the demo prints what the README shows: perplexity and size before and after", async () => {
  const printed = await run("demo.ts");
  expect(printed).toMatch(transcript(codeBlocks("text")[0]));
  expect(printed).toMatch(
    /^before: 7\.34 MB, perplexity 5[67]\.\d+\n[\s\S]*after: {2}2\.68 MB, perplexity 5[678]\.\d+/,
  );
});
