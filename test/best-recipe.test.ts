import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigError } from "../src/errors.ts";
import { oneshot } from "../src/oneshot.ts";
import { verify } from "../src/verify/verify.ts";
import { hashOfWeights, readConfig, run } from "./compressed-fixture.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const best = { ...run, recipe: "best", recipeArgs: { group_size: 32 } };

test("the recipe best rotates, then quantizes; what is written beside the output gives the same bytes again", async () => {
  const folder = await temporaryFolder();
  const [output, again] = [join(folder, "output"), join(folder, "again")];
  await oneshot({ ...best, output });
  expect(readConfig(output)).toMatchObject({
    quantization_config: {
      format: "pack-quantized",
      config_groups: { group_0: { weights: { num_bits: 4, group_size: 32, symmetric: true, strategy: "group" } } },
      transform_config: { config_groups: { v: { type: "hadamard", head_dim: 32 } } },
    },
  });
  const recipe = join(output, "recipe.yaml");
  expect(await readFile(recipe, "utf8")).toMatch(
    /QuIPModifier:.*transform_block_size: 32.*GPTQModifier:.*preset: best/s,
  );
  await oneshot({ ...run, recipe, output: again });
  expect(hashOfWeights(again)).toBe(hashOfWeights(output));
});

test("a format whose runtime has no transforms refuses the recipe before anything is read", async () => {
  const output = join(await temporaryFolder(), "output");
  const phases: string[] = [];
  const onProgress = ({ type }: { type: string }) => phases.push(type);
  const failure = oneshot({ ...best, output, format: ["gguf"], onProgress });
  await expect(failure).rejects.toThrow(ConfigError);
  await expect(failure).rejects.toThrow(
    /Leave .*R4 of SpinQuantModifier out; .* take GPTQModifier with preset: best\.$/,
  );
  expect(phases).toEqual([]);
});

test("beside its source nothing is wrong with what it gives, though weights are rotated", async () => {
  const output = join(await temporaryFolder(), "output");
  await oneshot({ ...best, output });
  const { problems, notes, comparisons } = await verify({ model: output, source: run.model, threads: 1 });
  expect(problems).toEqual([]);
  expect(notes).toContain("weights of 14 modules are not compared: what they read or give is rotated at run time");
  expect(comparisons[0].weights.map(({ module }) => module)).not.toContain("model.layers.0.self_attn.q_proj");
  expect(Math.min(...comparisons[0].subgraphs.map(({ signalToNoise }) => signalToNoise))).toBeGreaterThan(10);
});
