import { describe, expect, test } from "vitest";
import { createModifiers } from "./modifiers.ts";
import { writeRecipe } from "./write.ts";

/** Class and options of each modifier, or the message that refuses the recipe. */
function create(recipe: string): unknown {
  try {
    return createModifiers(recipe).map(({ name, options }) => ({ [name]: options }));
  } catch (error) {
    return (error as Error).message;
  }
}

describe("recipes of llm-compressor are read", () => {
  test("SparseGPT", () => {
    const text = `
SparseGPTModifier:
  sparsity: 0.5
  mask_structure: "2:4"
  sequential_update: true
  block_size: 64
  dampening_frac: 0.001
  preserve_sparsity_mask: true
  offload_hessians: true
  targets: Linear
  ignore: ['re:.*lm_head']`;
    const options = {
      sparsity: 0.5,
      maskStructure: "2:4",
      blockSize: 64,
      dampeningFrac: 0.001,
      preserveSparsityMask: true,
      targets: ["Linear"],
      ignore: ["re:.*lm_head"],
    };
    expect(create(text)).toEqual([{ SparseGPTModifier: options }]);
  });

  test("Wanda with OWL", () => {
    expect(create("WandaPruningModifier: {sparsity: 0.7, sparsity_profile: OWL, owl_m: 5, owl_lmbda: 0.08}")).toEqual([
      { WandaPruningModifier: { sparsity: 0.7, sparsityProfile: "owl", owlM: 5, owlLmbda: 0.08 } },
    ]);
  });

  test("the schedule of training means nothing", () => {
    const schedule = "start: 0.0, end: 3, update: 0.5";
    const magnitude = `{${schedule}, init_sparsity: 0, final_sparsity: 0.5, update_scheduler: cubic, scheduler_args: {}, leave_enabled: true, targets: __ALL_PRUNABLE__}`;
    expect(
      create(`MagnitudePruningModifier: ${magnitude}\nConstantPruningModifier: {${schedule}, targets: [Linear]}`),
    ).toEqual([
      { MagnitudePruningModifier: { finalSparsity: 0.5, targets: ["Linear"] } },
      { ConstantPruningModifier: { targets: ["Linear"] } },
    ]);
  });
});

test("what is written reads back to the same", () => {
  const recipe = [
    "SparseGPTModifier: {sparsity: [0.5, 0.25], targets: [LlamaDecoderLayer], mask_structure: '0:0'}",
    "WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:4'}",
    "MagnitudePruningModifier: {final_sparsity: 0.5, mask_structure: 'block_4,1', targets: [Linear]}",
    "ConstantPruningModifier: {targets: [Linear]}",
  ].join("\n");
  expect(create(writeRecipe(createModifiers(recipe)))).toEqual(create(recipe));
});

describe("what is wrong is named with its line", () => {
  test.each([
    ["SparseGPTModifier:\n  sparsity: 2", "recipe:2:3: SparseGPTModifier.sparsity: found 2, expected at most 1."],
    [
      "SparseGPTModifier: {}",
      "recipe:1:1: SparseGPTModifier.sparsity: found undefined, expected a share from 0 to 1, or a list of them.",
    ],
    [
      "WandaPruningModifier:\n  sparsity: 0.5\n  block_size: 4",
      "recipe:3:3: WandaPruningModifier.block_size: unknown field, expected one such as",
    ],
    [
      "WandaPruningModifier:\n  sparsity: 0.5\n  mask_structure: 4:2",
      'recipe:1:1: WandaPruningModifier.mask_structure: "4:2", expected N:M with N from 1 to M − 1',
    ],
    [
      "WandaPruningModifier:\n  sparsity: 0.5\n  sparsity_profile: bird",
      'recipe:3:3: WandaPruningModifier.sparsity_profile: found "bird", expected "owl".',
    ],
    [
      "MagnitudePruningModifier:\n  targets: [Linear]\n  final_sparsity: 0.5\n  apply_globally: true",
      "recipe:4:3: MagnitudePruningModifier.apply_globally: found true, expected false. Each module loses the same share.",
    ],
    ["ConstantPruningModifier: {}", "recipe:1:1: ConstantPruningModifier.targets: "],
  ])("%s", (recipe, message) => {
    expect(create(recipe)).toContain(message);
  });
});
