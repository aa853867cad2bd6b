import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Runs an example as a user does, against the built package; returns what it prints. */
async function run(example: string): Promise<string> {
  const { stdout } = await promisify(execFile)(here("../node_modules/.bin/tsx"), [here(`../examples/${example}`)]);
  return stdout;
}

test("the example that traces a model prints its subgraphs", async () => {
  const printed = await run("trace-a-model.ts");
  expect(printed).toContain(
    "const model_layers_0 = this.model.layers.0(model_embed_tokens, causal_mask, model_rotary_emb);",
  );
  expect(printed.match(/^consumes /gm)).toHaveLength(5);
});

test("the example that compresses a model prints what the result holds", async () => {
  expect(await run("compress-a-model.ts")).toContain("pack-quantized, int8 symmetric, group 128: 28 modules");
});

test("the example of an own modifier zeroes half of the weights", async () => {
  const printed = await run("own-modifier.ts");
  const [, zeros, all] = /mlp\.gate_proj: (\d+) of (\d+) weights are zero/.exec(printed) ?? [];
  expect(Number(zeros) / Number(all)).toBeCloseTo(0.5, 1);
});

test("the demo prints perplexity and size before and after", async () => {
  expect(await run("demo.ts")).toMatch(
    /before: 7\.34 MB, perplexity 5[67]\.\d+\n[\s\S]*after: {2}2\.68 MB, perplexity 5[678]\.\d+/,
  );
});
