import { describe, expect, test } from "vitest";
import { FIXTURE_MODELS, loadFixtureModel } from "../../../test/fixture-model.ts";
import { Linear } from "../../nn/linear.ts";
import { namesOf } from "../../nn/match.ts";
import type { Module } from "../../nn/module.ts";
import { AWQModifier } from "../awq.ts";
import type { CoupledModules } from "../modifier.ts";
import { QuantizationModifier } from "../quantization.ts";
import { SmoothQuantModifier } from "../smoothquant.ts";

/** A row of the reference's tables: what reads the output of what, as ends of names. */
type Row = readonly [smooth: string, ...balanced: string[]];

const ATTENTION: Row = ["input_layernorm", "q_proj", "k_proj", "v_proj"];
const VALUES: Row = ["v_proj", "o_proj"];
const DOWN: Row = ["up_proj", "down_proj"];
const MLP: Row = ["post_attention_layernorm", "gate_proj", "up_proj"];
const EXPERTS: Row = ["post_attention_layernorm", "mlp.gate", "experts.*gate_proj", "experts.*up_proj"];
const GEMMA_MLP: Row = ["pre_feedforward_layernorm", "gate_proj", "up_proj"];
const PHI: Row[] = [
  ["input_layernorm", "qkv_proj"],
  ["post_attention_layernorm", "gate_up_proj"],
];

/** The reference's default mappings of AWQ by model. */
const AWQ: Readonly<Record<string, readonly Row[]>> = {
  default: [ATTENTION, VALUES, MLP, DOWN],
  gemma2: [ATTENTION, VALUES, GEMMA_MLP, DOWN],
  gemma3: [VALUES, GEMMA_MLP, DOWN],
  phi3: [PHI[0], ["qkv_proj", "o_proj"], PHI[1], ["gate_up_proj", "down_proj"]],
  qwen2_moe: [ATTENTION, VALUES, EXPERTS, DOWN],
  qwen3_moe: [ATTENTION, VALUES, EXPERTS, DOWN],
};

/** Those of SmoothQuant. */
const SMOOTHQUANT: Readonly<Record<string, readonly Row[]>> = {
  default: [ATTENTION, MLP],
  phi3: PHI,
  mixtral: [ATTENTION],
  qwen2_moe: [ATTENTION],
  qwen3_moe: [ATTENTION],
};

/** Where a trace finds other mappings in layer 0 than the tables have: "+" only the trace, "-" only the tables. */
const DIFFERENCES: Readonly<
  Record<string, { readonly awq?: readonly string[]; readonly smoothquant?: readonly string[] }>
> = {
  // the table of SmoothQuant takes a norm that the residual reads, which changes what the model computes
  gemma2: {
    smoothquant: [
      "+ pre_feedforward_layernorm → mlp.gate_proj, mlp.up_proj",
      "- post_attention_layernorm → mlp.gate_proj, mlp.up_proj",
    ],
  },
  gemma3: {
    smoothquant: [
      "+ pre_feedforward_layernorm → mlp.gate_proj, mlp.up_proj",
      "- post_attention_layernorm → mlp.gate_proj, mlp.up_proj",
    ],
    // left out there as it often did harm; a search that also tries no scaling decides for itself
    awq: ["+ input_layernorm → self_attn.k_proj, self_attn.q_proj, self_attn.v_proj"],
  },
  // the tables do not know these names, and do not balance the router
  mixtral: {
    awq: [
      "+ post_attention_layernorm → 0.w1, 0.w3, 1.w1, 1.w3, 2.w1, 2.w3, 3.w1, 3.w3, block_sparse_moe.gate",
      ...[0, 1, 2, 3].map((expert) => `+ block_sparse_moe.experts.${expert}.w3 → ${expert}.w2`),
    ],
  },
  // the tables do not balance the shared expert and its gate
  qwen2_moe: {
    awq: [
      "+ post_attention_layernorm → 0.gate_proj, 0.up_proj, 1.gate_proj, 1.up_proj, 2.gate_proj, 2.up_proj, 3.gate_proj, " +
        "3.up_proj, mlp.gate, shared_expert.gate_proj, shared_expert.up_proj, mlp.shared_expert_gate",
      "- post_attention_layernorm → 0.gate_proj, 0.up_proj, 1.gate_proj, 1.up_proj, 2.gate_proj, 2.up_proj, 3.gate_proj, " +
        "3.up_proj, mlp.gate",
    ],
  },
  // no table has these families
  opt: {
    awq: [
      "+ self_attn_layer_norm → self_attn.k_proj, self_attn.q_proj, self_attn.v_proj",
      "+ self_attn.v_proj → self_attn.out_proj",
      "+ final_layer_norm → 0.fc1",
      "+ fc1 → 0.fc2", // ReLU lets positive factors through
    ],
    smoothquant: [
      "+ self_attn_layer_norm → self_attn.k_proj, self_attn.q_proj, self_attn.v_proj",
      "+ final_layer_norm → 0.fc1",
    ],
  },
  gpt_neox: {
    awq: [
      "+ input_layernorm → attention.query_key_value",
      "+ attention.query_key_value → attention.dense",
      "+ post_attention_layernorm → mlp.dense_h_to_4h",
    ],
    smoothquant: ["+ input_layernorm → attention.query_key_value", "+ post_attention_layernorm → mlp.dense_h_to_4h"],
  },
};

const quantizer = new QuantizationModifier({ scheme: "W4A16" });
const context = { warn: () => {}, later: [quantizer] };

describe.each(FIXTURE_MODELS.filter((name) => name !== "gpt2"))("in %s", (name) => {
  const model = loadFixtureModel(name);

  test.each([
    ["AWQ", new AWQModifier(), AWQ[name] ?? AWQ.default, DIFFERENCES[name]?.awq ?? []],
    [
      "SmoothQuant",
      new SmoothQuantModifier(),
      SMOOTHQUANT[name] ?? SMOOTHQUANT.default,
      DIFFERENCES[name]?.smoothquant ?? [],
    ],
  ] as const)(
    "%s finds the mappings of the reference's tables, but for those that change the function",
    (_, modifier, rows, differences) => {
      modifier.initialize(model, context);
      expect(compare(model, modifier.coupled, rows)).toEqual(differences);
    },
  );
});

test("GPT-2 has no linears that a reader takes quantized, and is refused", () => {
  expect(() => new SmoothQuantModifier().initialize(loadFixtureModel("gpt2"), context)).toThrow(
    "SmoothQuantModifier: no mapping in this model, expected a norm or linear whose output linears alone read. " +
      "Leave the modifier out.",
  );
});

/** What a trace of layer 0 finds and the tables have not ("+"), and the other way round ("-"). */
function compare(model: Module, mappings: readonly CoupledModules[], rows: readonly Row[]): string[] {
  const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
  const traced = mappings.map(({ modules }) => {
    const [smooth, ...balanced] = modules.map((module) => paths.get(module) as string);
    return describeLine(smooth, balanced);
  });
  const listed = rows.flatMap((row) => resolve(model, row));
  return [
    ...traced.filter((line) => !listed.includes(line)).map((line) => `+ ${line}`),
    ...listed.filter((line) => !traced.includes(line)).map((line) => `- ${line}`),
  ].flatMap((line) => (line.includes("layers.0.") ? [line.replace(/[\w.]*layers\.0\./, "")] : []));
}

/** As the reference resolves a row: the linears nearest to each module; none where the shapes do not fit. */
function resolve(model: Module, [smooth, ...balanced]: Row): string[] {
  const modules = new Map(model.namedModules());
  const matching = (pattern: string) =>
    [...modules].filter(([path, module]) =>
      namesOf(path, module).some((one) => new RegExp(`\\.${pattern}$`).test(one)),
    );
  const readers = balanced.flatMap(matching).map(([path]) => path);
  return matching(smooth).flatMap(([path, module]) => {
    const nearest = Math.max(...readers.map((reader) => sharedPrefix(path, reader)));
    const own = readers.filter((reader) => sharedPrefix(path, reader) === nearest);
    const [first] = own.map((reader) => modules.get(reader) as Linear);
    const fits = first && (!(module instanceof Linear) || fitsInto(path, module, first));
    return fits ? [describeLine(path, own)] : [];
  });
}

function fitsInto(path: string, smooth: Linear, balanced: Linear): boolean {
  const parts = path.endsWith("qkv_proj") ? 3 : path.endsWith("gate_up_proj") ? 2 : 1;
  return smooth.outFeatures === parts * balanced.inFeatures;
}

function sharedPrefix(a: string, b: string): number {
  const [left, right] = [a.split("."), b.split(".")];
  const differs = left.findIndex((part, index) => part !== right[index]);
  return differs < 0 ? left.length : differs;
}

function describeLine(path: string, balanced: readonly string[]): string {
  return `${path} → ${[...balanced]
    .sort()
    .map((one) => one.split(".").slice(-2).join("."))
    .join(", ")}`;
}
