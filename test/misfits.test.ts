import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Checkpoint } from "../src/checkpoint/checkpoint.ts";
import { LayerwiseError } from "../src/errors.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { modifierTypes } from "../src/recipe/modifiers.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Fields of a modifier that do not fit, and what is said of them behind their place in the recipe. */
type Misfit = readonly [fields: readonly string[], message: string];

interface Misfits {
  readonly model?: string;
  /** An option that there is not. */
  readonly unknown: Misfit;
  /** Names of modules that match nothing. */
  readonly unmatched: readonly Misfit[];
  /** Sizes that do not divide what they are sizes of. */
  readonly indivisible: readonly Misfit[];
}

const group = (weights: string) => `config_groups: {g: {targets: [Linear], weights: {num_bits: 4, ${weights}}}}`;
const q = "model.layers.0.self_attn.q_proj";
const typo = (...fields: string[]): Misfit => [
  ["typo: 1", ...fields],
  "4:7: CLASS.typo: unknown field, expected one such as",
];
const lineer = (...fields: string[]): Misfit => [
  fields,
  "3:5: Lineer: matches no module, expected a module name, class name or",
];
const groupSize: Misfit = [[group("group_size: 48")], `3:5: ${q}: 64 columns, expected a multiple of group_size 48.`];

/** What SmoothQuant and its variant can be told wrongly. */
const smoothing: Misfits = {
  unknown: typo(),
  unmatched: [
    [["mappings: [[['re:.*q_prok'], 're:.*input_layernorm']]"], "3:5: re:.*q_prok: matches no module, expected"],
    [["mappings: [[['re:.*q_proj'], 're:.*input_norm']]"], "3:5: re:.*input_norm: matches no module, expected"],
  ],
  indivisible: [],
};

/** What SparseGPT and Wanda can be told wrongly. */
const pruning: Misfits = {
  unknown: typo("sparsity: 0.5"),
  unmatched: [
    lineer("sparsity: 0.5", "targets: [Lineer]"),
    [
      ["sparsity: 0.5", "ignore: [Linear]"],
      "3:5: CLASS: no linear at or below Linear that is not ignored, expected some.",
    ],
  ],
  indivisible: [
    [
      ["mask_structure: '1:48'", "sparsity: 0.5"],
      `3:5: ${q}: 64 columns, expected a multiple of 48, the M of mask_structure.`,
    ],
    [["sparsity: [0.5, 0.5]"], "3:5: CLASS.sparsity: 2 values, expected one for each of 15 targets."],
  ],
};

const MISFITS: Readonly<Record<string, Misfits>> = {
  AWQModifier: {
    unknown: typo("scheme: W8A8"),
    unmatched: [
      lineer("scheme: W8A8", "targets: [Lineer]"),
      [
        ["scheme: W8A8", "mappings: [{smooth_layer: 're:.*input_norm', balance_layers: ['re:.*q_proj']}]"],
        "3:5: re:.*input_norm: matches no module, expected",
      ],
    ],
    indivisible: [
      groupSize,
      [[group("strategy: tensor")], `3:5: CLASS: ${q} has one scale for its whole weight, expected several.`],
    ],
  },
  GPTQModifier: {
    unknown: typo("scheme: W8A8"),
    unmatched: [
      lineer("scheme: W8A8", "targets: [Lineer]"),
      lineer("scheme: {W8A8: [Lineer]}"),
      lineer("scheme: W8A8", "sequential_targets: [Lineer]"),
    ],
    indivisible: [groupSize],
  },
  LogarithmicEqualizationModifier: smoothing,
  QuantizationModifier: {
    unknown: typo("scheme: W8A8"),
    unmatched: [
      lineer("scheme: W8A8", "targets: [Lineer]"),
      [["scheme: W8A8", "ignore: [Linear]"], "3:5: CLASS: no module left to quantize, expected some."],
      [["scheme: W8A8", "weight_observer: mst"], '3:5: observer: "mst" is unknown, expected one of'],
    ],
    indivisible: [groupSize],
  },
  QuIPModifier: {
    unknown: typo(),
    unmatched: [lineer("targets: [Lineer]")],
    indivisible: [
      [["transform_block_size: 48"], `3:5: CLASS: ${q}: 64 columns, expected a multiple of transform_block_size 48.`],
    ],
  },
  SmoothQuantModifier: smoothing,
  SpinQuantModifier: {
    unknown: typo(),
    unmatched: [[["rotations: [R5]"], "4:19: CLASS.rotations.0: not supported, expected R1, R2 or R4"]],
    indivisible: [
      [
        ["transform_block_size: 48"],
        "3:5: CLASS: R1: the residual stream: 64 columns, expected a multiple of transform_block_size 48.",
      ],
    ],
  },
  REAPPruningModifier: {
    model: "mixtral",
    unknown: typo("sparsity: 0.5"),
    unmatched: [
      [
        ["ignore: ['re:.*moe']", "sparsity: 0.5"],
        "3:5: CLASS.ignore: names model.layers.0.block_sparse_moe, expected no",
      ],
    ],
    indivisible: [[["sparsity: 0.2"], "3:5: CLASS.sparsity: 0.2 leaves 4 of 4 experts, expected fewer."]],
  },
  SparseGPTModifier: {
    ...pruning,
    indivisible: [
      [
        ["mask_structure: '1:24'", "sparsity: 0.5"],
        "3:5: CLASS.block_size: 128, expected a multiple of 24, the M of mask_structure.",
      ],
      [["block_size: 48", ...pruning.indivisible[0][0]], pruning.indivisible[0][1]],
    ],
  },
  WandaPruningModifier: pruning,
  MagnitudePruningModifier: {
    unknown: typo("targets: [Linear]", "final_sparsity: 0.5"),
    unmatched: [lineer("targets: [Lineer]", "final_sparsity: 0.5")],
    indivisible: [
      [
        ["targets: [Linear]", "final_sparsity: 0.5", "mask_structure: 'block_48,1'"],
        `3:5: ${q}: a weight of [64, 64], expected multiples of [48, 1].`,
      ],
    ],
  },
  ConstantPruningModifier: {
    unknown: typo("targets: [Linear]"),
    unmatched: [lineer("targets: [Lineer]")],
    indivisible: [],
  },
};

const cases = Object.entries(MISFITS).flatMap(([name, { model = "llama", unknown, unmatched, indivisible }]) =>
  [unknown, ...unmatched, ...indivisible].map(([fields, message]) => ({ name, model, fields, message })),
);

/** Runs a recipe with data that must not be read; tells what it ends with, and whether a weight was read by then. */
async function refuse(recipe: string, options: Partial<OneshotOptions> = {}): Promise<[error: unknown, reads: number]> {
  const reads = (["read", "readFloat32", "readRows", "readInto"] as const).map((method) =>
    vi.spyOn(Checkpoint.prototype, method),
  );
  const output = join(await temporaryFolder(), "output");
  const run = oneshot({ model: fixture("llama"), recipe, output, threads: 1, ...options });
  const error = await run.then(
    () => "no error",
    (reason: unknown) => reason,
  );
  return [error, reads.reduce((sum, { mock }) => sum + mock.calls.length, 0)];
}

afterEach(() => void vi.restoreAllMocks());

function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/models/${name}`, import.meta.url));
}

const row = { input_ids: [1, 2, 3, 4] };

test("the table has every modifier that recipes can name", () => {
  expect(Object.keys(MISFITS).sort()).toEqual(Object.keys(modifierTypes).sort());
});

describe("what does not fit is refused with the recipe's line, before data or a weight is read", () => {
  test.each(cases)("$name: $fields", async ({ name, model, fields, message }) => {
    const data = vi.fn(() => row.input_ids);
    const dataset = [Object.defineProperty({ ...row }, "input_ids", { get: data, enumerable: true })];
    const recipe = `some_stage:\n  some_modifiers:\n    ${name}:\n${fields.map((field) => `      ${field}\n`).join("")}`;
    const [error, reads] = await refuse(recipe, { model: fixture(model), dataset });
    expect(error).toBeInstanceOf(LayerwiseError);
    expect((error as Error).message).toContain(`recipe:${message.replace("CLASS", name)}`);
    expect([reads, data.mock.calls.length]).toEqual([0, 0]);
  });
});

describe("what does not fit the data or the cut is refused before a weight is read", () => {
  const int8 = "GPTQModifier: {scheme: W8A8, ignore: [lm_head]}";
  const sequential = "GPTQModifier: {scheme: W8A8, ignore: [lm_head], sequential_targets: [LlamaDecoderLayer]}";

  test.each<[recipe: string, Partial<OneshotOptions>, message: string]>([
    [`SpinQuantModifier: {}\n${int8}`, {}, "GPTQModifier: no calibration data, expected a dataset."],
    [int8, { sequentialTargets: ["Lineer"] }, "Lineer: matches no module, expected"],
    [sequential, { onePass: true }, "sequential targets: given by GPTQModifier and onePass, expected one of them."],
  ])("%s, %j", async (recipe, options, message) => {
    const dataset = "sequentialTargets" in options || options.onePass ? [row] : undefined;
    const [error, reads] = await refuse(recipe, { dataset, ...options });
    expect(error).toBeInstanceOf(LayerwiseError);
    expect((error as Error).message).toContain(message);
    expect(reads).toBe(0);
  });
});
