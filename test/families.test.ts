import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { RecipeError } from "../src/errors.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { describeQuantization } from "../src/formats/describe-quantization.ts";
import { inspectCheckpoint } from "../src/formats/inspect.ts";
import { createModel } from "../src/models/registry.ts";
import { GPTQModifier } from "../src/modifiers/gptq.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { Linear } from "../src/nn/linear.ts";
import { matchModules } from "../src/nn/match.ts";
import { oneshot } from "../src/oneshot.ts";
import { openOutput } from "../src/output/output.ts";
import { dequantizeWeight } from "../src/schemes/quantize.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, loadFixtureModel } from "./fixture-model.ts";
import { recordQuantized } from "./record-quantized.ts";
import { runWhole } from "./run-model.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const folderOf = (name: string) => fileURLToPath(new URL(`./fixtures/models/${name}`, import.meta.url));
const rows = Array.from({ length: 8 }, (_, row) => ({
  input_ids: Array.from({ length: 16 }, (_, index) => 2 + ((row * 59 + index * index * 31 + index * 7) % 254)),
}));
const batch = { input_ids: new Tensor("I64", [1, 16], BigInt64Array.from(rows[0].input_ids, BigInt)) };

/** Groups of 16 divide every weight of the fixtures. GPT-2 has no linear but its lm_head. */
const optionsFor = (name: string) => ({
  ignore: name === "gpt2" ? [] : ["lm_head"],
  configGroups: { group: { targets: ["Linear"], weights: { numBits: 4, strategy: "group" as const, groupSize: 16 } } },
});

async function logitsOf(folder: string): Promise<Tensor> {
  const checkpoint = await openCheckpoint(folder);
  const model = createModel(checkpoint.config);
  bindCheckpoint(model, checkpoint);
  return runWhole(model, batch).finally(() => checkpoint.close());
}

test("the projections of GPT-2 are refused: no reader takes them compressed", () => {
  const configGroups = {
    group: { targets: ["Linear", "Conv1D"], weights: { numBits: 8, strategy: "channel" as const } },
  };
  const modifier = new QuantizationModifier({ configGroups });
  expect(() => modifier.initialize(loadFixtureModel("gpt2"), { warn: () => {} })).toThrow(
    new RecipeError("transformer.h.0.attn.c_attn: of class Conv1D, expected a Linear. Add it to ignore."),
  );
});

test("GPT-NeoX's last projection has two names: recipes may use either, and readers find both", () => {
  const model = loadFixtureModel("gpt_neox");
  for (const name of ["embed_out", "lm_head", "re:lm_h", "re:.*embed_out"])
    expect([...matchModules(model, [name])], name).toEqual([model.lm_head]);
  const schemesFor = (targets: string[], ignore: string[]) => {
    const configGroups = { group: { targets, weights: { numBits: 8, strategy: "channel" as const } } };
    const modifier = new QuantizationModifier({ configGroups, ignore });
    modifier.initialize(model, { warn: () => {} });
    return modifier.quantization;
  };
  expect([...schemesFor(["re:.*head"], []).schemes.keys()]).toEqual([model.lm_head]);
  const { ignore } = describeQuantization(model, schemesFor(["Linear"], ["lm_head"]));
  expect(ignore).toEqual(["embed_out", "lm_head"]);
});

test("a GPT-2 that was saved without its last projection, and so without the names' prefix, is compressed too", async () => {
  const folder = await temporaryFolder();
  const source = await openCheckpoint(folderOf("gpt2"));
  const names = new Map([...source.tensors.keys()].map((name) => [name.replace("transformer.", ""), name]));
  const tensors = [...names].map(([name, original]) => ({ ...source.info(original), name }));
  const copy = await openOutput({ folder: join(folder, "model"), tensors });
  for (const [name, original] of names) await copy.write(name, await source.read(original));
  await copy.copyFile(source.pathOf("config.json"));
  await Promise.all([copy.finish(), source.close()]);

  const recipe = () => new QuantizationModifier(optionsFor("gpt2"));
  await oneshot({ model: join(folder, "model"), recipe: recipe(), output: join(folder, "without") });
  await oneshot({ model: folderOf("gpt2"), recipe: recipe(), output: join(folder, "with") });
  expect(await logitsOf(join(folder, "without"))).toEqual(await logitsOf(join(folder, "with")));
});

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const linears = loadFixtureModel(name)
    .namedModules()
    .flatMap(([path, module]) => (module instanceof Linear ? [path] : []));
  const kept = name === "gpt2" ? [] : [name === "gpt_neox" ? "embed_out" : "lm_head"];
  const targets = linears.filter((path) => !kept.includes(path));

  test.each([
    ["GPTQ", () => new GPTQModifier(optionsFor(name))],
    ["rounding to nearest", () => new QuantizationModifier(optionsFor(name))],
  ])("what %s writes gives the logits of the weights that the codes stand for", async (_, create) => {
    const recipe = create();
    const quantized = recordQuantized(recipe);
    const output = join(await temporaryFolder(), "output");
    await oneshot({ model: folderOf(name), recipe, dataset: rows, output, threads: 1 });
    expect([...quantized.keys()].sort()).toEqual(targets.toSorted());
    const summary = await inspectCheckpoint(output);
    expect(summary.ignored).toEqual(kept);
    expect(summary.storage.find(({ format }) => format === "pack-quantized")?.modules).toBe(targets.length);

    const weights = new Map([...quantized].map(([path, codes]) => [`${path}.weight`, dequantizeWeight(codes)]));
    const dense = loadFixtureModel(name, name === "gpt2" ? { tie_word_embeddings: false } : {}, weights);
    const [found, expected, original] = [
      await logitsOf(output),
      await runWhole(dense, batch),
      await runWhole(loadFixtureModel(name), batch),
    ];
    expect(found).toBeAllClose(expected, { atol: 1e-5 });
    expect(() => expect(found).toBeAllClose(original, { atol: 1e-2 })).toThrow("expected");
  });
});
