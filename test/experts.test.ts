import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { createModel } from "../src/models/registry.ts";
import { GPTQModifier } from "../src/modifiers/gptq.ts";
import type { Modifier } from "../src/modifiers/modifier.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { calibrateAllExperts } from "../src/nn/experts.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { QuantizedWeight } from "../src/schemes/quantize.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { loadFixtureModel, readFixtureConfig, readGoldenLogits } from "./fixture-model.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { recordQuantized } from "./record-quantized.ts";
import { runSequentially } from "./run-model.ts";
import { SecondMoments, trace } from "./second-moments.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const folderOf = (name: string) => fileURLToPath(new URL(`./fixtures/models/${name}`, import.meta.url));
const tokens = (count: number) => ({ input_ids: Array.from({ length: count }, (_, index) => 5 + 11 * index) });
const group = { targets: ["Linear"], weights: { numBits: 4, strategy: "group" as const, groupSize: 32 } };
const options = { ignore: ["lm_head"], configGroups: { group } };

/** Runs a modifier on a model of the fixtures; returns what was warned of. */
async function run(name: string, recipe: Modifier, given: Partial<OneshotOptions> = {}): Promise<string[]> {
  const events: ProgressEvent[] = [];
  await oneshot({
    model: folderOf(name),
    recipe,
    dataset: [tokens(20)],
    output: join(await temporaryFolder(), "output"),
    threads: 1,
    shuffleCalibrationSamples: false,
    numCalibrationSamples: 1,
    onProgress: (event) => events.push(event),
    ...given,
  });
  return events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
}

async function quantize(name: string, recipe: Modifier, given: Partial<OneshotOptions> = {}) {
  const codes = recordQuantized(recipe);
  const warnings = await run(name, recipe, given);
  return { codes, warnings };
}

describe.each([
  ["mixtral", "block_sparse_moe", 4],
  ["qwen3_moe", "mlp", 8],
] as const)("the experts of %s", (name, block, count) => {
  const paths = Array.from({ length: count }, (_, index) => `model.layers.1.${block}.experts.${index}`);

  test("are calibrated with the tokens that are routed to them: each token counts for two experts", async () => {
    const energy = await observe(name);
    const [whole, experts] = [energy.get(`model.layers.1.${block}`) as number, paths.map((path) => energy.get(path))];
    expect(experts.reduce((sum: number, one) => sum + (one as number), 0) / whole).toBeCloseTo(2, 5);
    expect(new Set(experts).size).toBeGreaterThan(2);
  });

  test("are calibrated with all tokens on request", async () => {
    const energy = await observe(name, { moeCalibrateAllExperts: true });
    const whole = energy.get(`model.layers.1.${block}`) as number;
    for (const path of paths) expect((energy.get(path) as number) / whole).toBeCloseTo(1, 5);
  });

  test("give the same logits when they are run on all tokens", async () => {
    const golden = readGoldenLogits(name);
    const batch = {
      input_ids: golden.get("input_ids") as Tensor,
      attention_mask: golden.get("attention_mask") as Tensor,
    };
    const model = loadFixtureModel(name);
    const routed = await runSequentially(model, batch);
    calibrateAllExperts(model);
    expect(await runSequentially(model, batch)).toBeAllClose(routed, { atol: 1e-5 });
  });

  test("are compressed in one pass too, also on texts from which some get no token", async () => {
    const { codes, warnings } = await quantize(name, new GPTQModifier(options), {
      dataset: [tokens(1), tokens(2)],
      numCalibrationSamples: 2,
      onePass: true,
    });
    expect(codes.size).toBe(2 * (4 + 3 * count));
    expect(warnings.filter((warning) => warning.includes("no input but zeros"))).toEqual(warnings);
  });
});

test("with all tokens, the codes of experts are the reference's", async () => {
  const reference = readSafetensors(
    new URL("./fixtures/models/qwen2_moe/gptq-all-experts.safetensors", import.meta.url),
  );
  const ids = reference.get("input_ids") as Tensor;
  const rows = Array.from({ length: 8 }, (_, row) => ({
    input_ids: Array.from(ids.data.subarray(32 * row, 32 * (row + 1)), Number),
  }));
  const { codes } = await quantize("qwen2_moe", new GPTQModifier(options), {
    dataset: rows,
    numCalibrationSamples: 8,
    moeCalibrateAllExperts: true,
  });
  expect(codes.size).toBe(40);
  for (const [path, { codes: found }] of codes) expect(found.data, path).toEqual(reference.get(`${path}.q`)?.data);
});

test("an expert that saw no token is named and rounded to nearest", async () => {
  const few = { dataset: [tokens(1)] };
  const { codes, warnings } = await quantize("qwen3_moe", new GPTQModifier(options), few);
  const { codes: nearest } = await quantize("qwen3_moe", new QuantizationModifier(options));
  const expert = (index: number) => `model.layers.0.mlp.experts.${index}`;
  const unseen = (index: number) => warnings.some((warning) => warning.includes(`${expert(index)}.gate_proj, `));
  const indices = Array.from({ length: 8 }, (_, index) => index);
  expect(indices.filter(unseen)).toHaveLength(6); // a token goes to two of eight
  for (const index of indices) {
    const same = equal(codes.get(`${expert(index)}.up_proj`), nearest.get(`${expert(index)}.up_proj`));
    expect(same).toBe(unseen(index));
  }
  const { warnings: none } = await quantize("qwen3_moe", new GPTQModifier(options), {
    ...few,
    moeCalibrateAllExperts: true,
  });
  expect(none).toEqual([]);
});

test.each([
  [{ decoder_sparse_step: 2 }, [1]],
  [{ mlp_only_layers: [1] }, [0]],
  [{ mlp_only_layers: [0], decoder_sparse_step: 2 }, [1]],
  [{}, [0, 1]],
])("with %o, the layers %o of a Qwen have experts", (changes, expected) => {
  for (const name of ["qwen2_moe", "qwen3_moe"]) {
    const modules = createModel({ ...readFixtureConfig(name), ...changes }).namedModules();
    const blocks = modules.flatMap(([path]) => /^model\.layers\.(\d+)\.mlp\.experts\.0$/.exec(path)?.[1] ?? []);
    expect(blocks.map(Number)).toEqual(expected);
  }
});

/** Σ ‖x‖² over the inputs of each expert and each block of experts, by path. */
async function observe(name: string, given: Partial<OneshotOptions> = {}): Promise<Map<string, number>> {
  const observer = new SecondMoments((module) => /Expert|MoeBlock|MLP/.test(module.constructor.name));
  await run(name, observer, given);
  return new Map([...observer.moments].map(([path, moment]) => [path, trace(moment)]));
}

function equal(a?: QuantizedWeight, b?: QuantizedWeight): boolean {
  return String(a?.codes.data) === String(b?.codes.data);
}
