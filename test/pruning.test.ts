import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import { ConstantPruningModifier } from "../src/modifiers/pruning/constant.ts";
import { Linear } from "../src/nn/linear.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { elementCount, Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { readWeights } from "./read-weights.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const fixture = (path: string) => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));
const golden = readSafetensors(fixture("pruning/pruning.safetensors"));
const losses = JSON.parse(readFileSync(fixture("pruning/losses.json"), "utf8"));
const model = fixture("pruning/model");
const source = readSafetensors(join(model, "model.safetensors"));
const projections = "'re:.*layers.*proj$'";
const isProjection = (name: string) => /layers.*proj\.weight$/.test(name);

function rowsOf(ids: Tensor | undefined): { input_ids: number[] }[] {
  const values = Array.from(ids?.data ?? [], Number);
  return Array.from({ length: 8 }, (_, row) => ({ input_ids: values.slice(32 * row, 32 * (row + 1)) }));
}

/** Runs a recipe as the reference did; returns the folder, its tensors, the losses, and what was warned of. */
async function run(recipe: OneshotOptions["recipe"], options: Partial<OneshotOptions> = {}) {
  const output = join(await temporaryFolder(), "output");
  const events: ProgressEvent[] = [];
  const data = { dataset: rowsOf(golden.get("input_ids")), shuffleCalibrationSamples: false, numCalibrationSamples: 8 };
  const onProgress = (event: ProgressEvent) => events.push(event);
  await oneshot({ model, recipe, output, threads: 1, ...data, onProgress, ...options });
  return {
    output,
    tensors: readSafetensors(join(output, "model.safetensors")),
    errors: new Map(events.flatMap((event) => (event.type === "module" ? [[event.module, event.error]] : []))),
    warnings: events.flatMap((event) => (event.type === "warning" ? [event.message] : [])),
    calibrations: events.filter((event) => event.type === "phase" && event.phase === "calibrating").length,
  };
}

/** Element i is bit i mod 8 of byte ⌊i / 8⌋. */
function unpack({ data }: Tensor, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (Number(data[at >> 3]) >> (at & 7)) & 1);
}

function zerosOf({ data }: Tensor): Uint8Array {
  return Uint8Array.from(data as Float32Array, (value) => Number(value === 0));
}

function shareOfZeros(weights: readonly Tensor[]): number {
  const marks = weights.flatMap((weight) => [...zerosOf(weight)]);
  return marks.reduce((sum, mark) => sum + mark, 0) / marks.length;
}

describe.each([
  ["sparsegpt-2of4", `SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', targets: [${projections}]}`],
  ["sparsegpt-0.5", `SparseGPTModifier: {sparsity: 0.5, targets: [${projections}]}`],
  ["wanda-2of4", `WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:4', targets: [${projections}]}`],
  ["wanda-0.5", `WandaPruningModifier: {sparsity: 0.5, targets: [${projections}]}`],
])("%s", (name, recipe) => {
  test("prunes what the reference prunes, in 995 of 1000 weights at least; its losses are within one percent", async () => {
    const { tensors, errors } = await run(recipe);
    let [alike, count] = [0, 0];
    for (const [path, tensor] of tensors) {
      const expected = golden.get(`${name}/${path}`);
      if (!expected) {
        expect(tensor, path).toEqual(source.get(path));
        continue;
      }
      const [found, marks] = [zerosOf(tensor), unpack(expected, tensor.data.length)];
      alike += found.reduce((sum, mark, at) => sum + Number(mark === marks[at]), 0);
      count += found.length;
    }
    expect(count).toBe(73728);
    expect(alike / count).toBeGreaterThanOrEqual(0.995);
    for (const [path, loss] of Object.entries<number>(losses[name] ?? {}))
      expect((errors.get(path) as number) / loss, path).toBeCloseTo(1, 2);
  });
});

test("Wanda leaves what it keeps as it was", async () => {
  const { tensors } = await run(`WandaPruningModifier: {sparsity: 0.5, targets: [${projections}]}`);
  for (const [path, { data }] of tensors) {
    const before = (source.get(path) as Tensor<"F32">).data;
    expect((data as Float32Array).every((value, at) => value === 0 || value === before[at])).toBe(true);
  }
});

test("a pruned model is written dense and says nothing of it, byte for byte as the reference does", async () => {
  const ids = readSafetensors(fixture("compressed/calibration.safetensors")).get("input_ids");
  const recipe = `prune_stage: {pruning_modifiers: {WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:4', targets: [${projections}]}}}`;
  const { output } = await run(recipe, { model: fixture("compressed/model"), dataset: rowsOf(ids) });
  const config = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  expect(config(output)).toEqual(config(fixture("compressed/model")));
  const digest = createHash("sha256")
    .update(readFileSync(join(output, "model.safetensors")))
    .digest("hex");
  expect(digest).toBe("fca31ea222b95b66adbe8eceb04b52af2d2f72cb4c4896a03e2d866fbf282778");
});

const groups =
  "config_groups: {g: {targets: ['re:.*layers.*proj$'], weights: {num_bits: 4, group_size: 32, symmetric: false}}}";

describe("zeros stay zero through later modifiers", () => {
  test.each([
    ["SparseGPTModifier", "GPTQModifier"],
    ["SparseGPTModifier", "QuantizationModifier"],
    ["WandaPruningModifier", "GPTQModifier"],
  ])("%s, then %s", async (first, second) => {
    const pruning = `${first}: {sparsity: 0.5, mask_structure: '2:4', targets: [${projections}]}`;
    const { output } = await run(`${pruning}\n${second}: {${groups}}`);
    for (const [path, data] of await readWeights(output)) {
      if (!path.endsWith("proj")) continue;
      const runs = Array.from({ length: data.length / 4 }, (_, at) => [...data.subarray(4 * at, 4 * at + 4)]);
      expect(
        runs.every((four) => four.filter((value) => value === 0).length >= 2),
        path,
      ).toBe(true);
    }
  });

  test("those of the source, under a constant mask, which GPTQ alone fills", async () => {
    const pruned = await run(`MagnitudePruningModifier: {final_sparsity: 0.6, targets: [${projections}]}`);
    const folder = pruned.output;
    const before = await readWeights(folder);
    const filled = async (recipe: string) => {
      const after = await readWeights((await run(recipe, { model: folder })).output);
      return [...before].reduce((sum, [path, data]) => {
        return sum + data.filter((value, at) => value === 0 && after.get(path)?.[at] !== 0).length;
      }, 0);
    };
    expect(await filled(`GPTQModifier: {${groups}}`)).toBeGreaterThan(1000);
    expect(await filled(`ConstantPruningModifier: {targets: [Linear]}\nGPTQModifier: {${groups}}`)).toBe(0);
    expect(
      await filled(
        `ConstantPruningModifier: {targets: [Linear]}\nSparseGPTModifier: {sparsity: 0.7, targets: [${projections}]}`,
      ),
    ).toBe(0);
  });

  test("a modifier that fills one is stopped, with the module named", async () => {
    const filling: Modifier = {
      name: "Filling",
      options: {},
      requiresCalibrationData: false,
      initialize() {},
      async compress(stage: CompressionStage) {
        for (const [, module] of stage.modules) {
          if (module instanceof Linear && stage.pruned(module))
            stage.setWeight(
              module,
              new Tensor("F32", module.weight.shape, new Float32Array(elementCount(module.weight.shape)).fill(1)),
            );
        }
      },
    };
    const pruned = await run(`MagnitudePruningModifier: {final_sparsity: 0.5, targets: [${projections}]}`);
    const recipe = [new ConstantPruningModifier({}), filling];
    await expect(run(recipe, { model: pruned.output })).rejects.toThrow(
      /^model\.layers\.0\.\S+\.weight: 1 at index \d+, which was pruned, expected it to stay zero\. Prune last\.$/,
    );
  });
});

describe("which modules", () => {
  test.each(["SparseGPTModifier", "WandaPruningModifier"])(
    "%s leaves lm_head where it is ignored, and warns where not",
    async (name) => {
      const ignoring = await run(`${name}: {sparsity: 0.5, ignore: [lm_head]}`);
      expect(ignoring.tensors.get("lm_head.weight")).toEqual(source.get("lm_head.weight"));
      expect(ignoring.warnings).toEqual([]);
      const pruning = await run(`${name}: {sparsity: 0.5}`);
      expect(shareOfZeros([pruning.tensors.get("lm_head.weight") as Tensor])).toBeGreaterThan(0.49);
      expect(pruning.warnings).toEqual([
        "lm_head is pruned, which costs more than it saves. Add it to ignore if that was not meant.",
      ]);
    },
  );

  test("one sparsity for each target", async () => {
    const { tensors } = await run(`WandaPruningModifier: {sparsity: [0.25, 0.75], targets: [LlamaDecoderLayer]}`);
    const layer = (index: number) =>
      [...tensors].filter(([path]) => path.includes(`layers.${index}.`) && isProjection(path));
    expect(shareOfZeros(layer(0).map(([, tensor]) => tensor))).toBe(0.25);
    expect(shareOfZeros(layer(1).map(([, tensor]) => tensor))).toBe(0.75);
  });
});

describe("OWL", () => {
  const owl = "sparsity_profile: owl, owl_m: 3, owl_lmbda: 0.1";

  test.each(["SparseGPTModifier", "WandaPruningModifier"])("%s spreads the sparsity over the layers", async (name) => {
    const { tensors, calibrations } = await run(`${name}: {sparsity: 0.5, ${owl}, ignore: [lm_head]}`);
    const shares = [0, 1].map((index) =>
      shareOfZeros(
        [...tensors].flatMap(([path, tensor]) =>
          path.includes(`layers.${index}.`) && isProjection(path) ? [tensor] : [],
        ),
      ),
    );
    expect(Math.abs(shares[0] - shares[1])).toBeCloseTo(0.2, 1); // two layers lie at both ends of the range
    expect((shares[0] + shares[1]) / 2).toBeCloseTo(0.5, 1);
    expect(calibrations).toBe(4); // both layers, for the survey and for the pruning
  });

  test("gives the same where the linears of a layer are in several subgraphs", async () => {
    const recipe = `WandaPruningModifier: {sparsity: 0.5, ${owl}, targets: ['re:.*layers.0.*proj$', 're:.*layers.1.*q_proj$']}`;
    const [whole, cut] = [await run(recipe), await run(recipe, { onePass: true })];
    const name = "model.layers.0.self_attn.q_proj.weight";
    expect(cut.tensors.get(name)).toEqual(whole.tensors.get(name));
  });
});

test("magnitude pruning takes the smallest of each weight, and needs no data", async () => {
  const recipe = `MagnitudePruningModifier: {init_sparsity: 0.0, final_sparsity: 0.3, start: 0, end: 10, targets: __ALL_PRUNABLE__, ignore: [lm_head]}`;
  const { tensors } = await run(recipe, { dataset: undefined });
  for (const [path, tensor] of tensors) {
    if (!isProjection(path)) {
      expect(tensor, path).toEqual(source.get(path));
      continue;
    }
    const magnitudes = (source.get(path) as Tensor<"F32">).data.map(Math.abs);
    const threshold = magnitudes.toSorted()[Math.trunc(0.3 * magnitudes.length) - 1];
    expect(zerosOf(tensor), path).toEqual(Uint8Array.from(magnitudes, (value) => Number(value <= threshold)));
  }
});

describe("SparseGPT without a usable Hessian, or with zeros", () => {
  test("prunes by magnitude what cannot be factorised, with one warning", async () => {
    const recipe = `SparseGPTModifier: {sparsity: 0.5, dampening_frac: 0, targets: ['re:.*layers.0.*down_proj$']}`;
    const { warnings, tensors } = await run(recipe, { numCalibrationSamples: 1 });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(
      "1 of 1 modules, which were pruned by magnitude instead: model.layers.0.mlp.down_proj",
    );
    expect(shareOfZeros([tensors.get("model.layers.0.mlp.down_proj.weight") as Tensor])).toBe(0.5);
  });

  test("preserve_sparsity_mask keeps zeros, and refuses a sparsity below theirs", async () => {
    const { output } = await run(`MagnitudePruningModifier: {final_sparsity: 0.6, targets: [${projections}]}`);
    const recipe = (sparsity: number) =>
      `SparseGPTModifier: {sparsity: ${sparsity}, preserve_sparsity_mask: true, targets: [${projections}]}`;
    await expect(run(recipe(0.5), { model: output })).rejects.toThrow(
      /^model\.layers\.0\.\S+: 0\.5999 of its weight is zero, expected at most the sparsity of 0\.5\./,
    );
    const before = readSafetensors(join(output, "model.safetensors"));
    for (const [path, tensor] of (await run(recipe(0.7), { model: output })).tensors) {
      if (!isProjection(path)) continue;
      const [old, now] = [zerosOf(before.get(path) as Tensor), zerosOf(tensor)];
      expect(old.every((mark, at) => mark <= now[at])).toBe(true);
      expect(shareOfZeros([tensor])).toBeGreaterThan(0.69);
    }
  });
});
