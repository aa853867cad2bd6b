import { describe, expect, test } from "vitest";
import { loadFixtureModel } from "../../../test/fixture-model.ts";
import { SparseGPTModifier, type SparseGPTOptions } from "./sparsegpt.ts";
import { WandaPruningModifier } from "./wanda.ts";

const model = await loadFixtureModel("llama");

/** What initialising with these options warns of, or the message that refuses them. */
function initialize(options: SparseGPTOptions): string | string[] {
  const warnings: string[] = [];
  try {
    const modifier = new SparseGPTModifier({ ignore: ["lm_head"], ...options });
    modifier.initialize(model, { warn: (message) => warnings.push(message) });
    return warnings;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("options that contradict one another are refused", () => {
  const owl = { sparsityProfile: "owl", owlM: 5, owlLmbda: 0.08 } as const;
  test.each<[SparseGPTOptions, string]>([
    [{ sparsity: 1.5 }, "SparseGPTModifier.sparsity: 1.5, expected a share from 0 to 1."],
    [
      { sparsity: 0.5, owlM: 5 },
      "SparseGPTModifier: some of sparsity_profile: owl, owl_m and owl_lmbda, expected all three or none.",
    ],
    [{ sparsity: [0.5], ...owl }, "SparseGPTModifier.sparsity: a list, expected one number where OWL spreads it."],
    [
      { sparsity: 0.5, maskStructure: "2:4", ...owl },
      "SparseGPTModifier.mask_structure: 2:4, expected 0:0 where OWL sets the shares.",
    ],
    [
      { sparsity: 0.9, ...owl },
      "SparseGPTModifier.owl_lmbda: 0.08, expected one that keeps 0.9 ± 2 · owl_lmbda between 0 and 1.",
    ],
    [
      { sparsity: 0.5, maskStructure: "2:4", blockSize: 6 },
      "SparseGPTModifier.block_size: 6, expected a multiple of 4, the M of mask_structure.",
    ],
  ])("%o", (options, message) => {
    expect(initialize(options)).toBe(message);
  });
});

describe("options that do not fit the model are refused before any data is read", () => {
  test("a target that matches nothing", () => {
    expect(initialize({ sparsity: 0.5, targets: ["Liner"] })).toMatch(/^Liner: matches no module, .* Nearest: Linear/);
  });

  test("nothing left", () => {
    expect(initialize({ sparsity: 0.5, targets: ["RMSNorm"] })).toBe(
      "SparseGPTModifier: no linear at or below RMSNorm that is not ignored, expected some. Check targets and ignore.",
    );
  });

  test("a list of another length", () => {
    expect(initialize({ sparsity: [0.5, 0.5, 0.5], targets: ["LlamaDecoderLayer"] })).toBe(
      "SparseGPTModifier.sparsity: 3 values, expected one for each of 2 targets.",
    );
  });

  test("columns that M does not divide, every module", () => {
    const message = initialize({ sparsity: 0.5, maskStructure: "1:3", blockSize: 3 }) as string;
    expect(message.split("\n")).toHaveLength(14);
    expect(message).toContain(
      "model.layers.0.self_attn.q_proj: 64 columns, expected a multiple of 3, the M of mask_structure. " +
        "Change it or add the module to ignore.",
    );
  });
});

test("a sparsity that the structure overrules is warned of", () => {
  expect(initialize({ sparsity: 0.5, maskStructure: "2:4" })).toEqual([]);
  expect(initialize({ sparsity: 0.6, maskStructure: "2:4" })).toEqual([
    "SparseGPTModifier: mask_structure 2:4 prunes 0.5 of every weight, whatever sparsity says (0.6).",
  ]);
});

test("linears below a target are pruned, those that are ignored are not, by any of their names", () => {
  const modifier = new WandaPruningModifier({
    sparsity: 0.5,
    targets: ["LlamaDecoderLayer"],
    ignore: ["re:.*mlp.*", "model.layers.1.self_attn.q_proj"],
  });
  modifier.initialize(model, { warn: () => undefined });
  const targets = new Set(modifier.targets);
  const paths = model.namedModules().flatMap(([path, module]) => (targets.has(module as never) ? [path] : []));
  expect(paths.map((path) => path.replace(/^model\.layers\./, ""))).toEqual([
    "0.self_attn.q_proj",
    "0.self_attn.k_proj",
    "0.self_attn.v_proj",
    "0.self_attn.o_proj",
    "1.self_attn.k_proj",
    "1.self_attn.v_proj",
    "1.self_attn.o_proj",
  ]);
});
