import { describe, expect, test } from "vitest";
import { CompressionError } from "../src/errors.ts";
import type { Modifier } from "../src/modifiers/modifier.ts";
import { QuIPModifier } from "../src/modifiers/quip.ts";
import { SpinQuantModifier } from "../src/modifiers/spinquant.ts";
import type { Linear } from "../src/nn/linear.ts";
import { rewriteModel } from "../src/sequential/rewrite-model.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, loadFixtureModel, readGoldenLogits } from "./fixture-model.ts";
import { runWhole } from "./run-model.ts";

/** Families whose norms scale what is added to the residual stream, which R1 cannot be moved through. */
const POST_NORMS = ["gemma2", "gemma3"];

const device = { device: "cpu", threads: 1 } as const;
const types = ["hadamard", "random-hadamard"] as const;

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const golden = readGoldenLogits(name);
  const [input_ids, attention_mask] = [golden.get("input_ids"), golden.get("attention_mask")] as Tensor[];
  const logits = async (model = loadFixtureModel(name)) => {
    const { data } = await runWhole(model, { input_ids, attention_mask });
    return Float64Array.from(data as Float32Array);
  };

  /** How far any logit is off once the model is rotated, relative to the largest. */
  async function deviation(modifier: Modifier): Promise<number> {
    const model = loadFixtureModel(name);
    modifier.initialize(model, { warn: () => {} });
    await rewriteModel(model, [modifier], device);
    const [before, after] = [await logits(), await logits(model)];
    expect(after).not.toEqual(before);
    return largest(after.map((value, index) => value - before[index])) / largest(before);
  }

  test.each(types)("the logits stay where R2 rotates values (%s)", async (transformType) => {
    expect(await deviation(new SpinQuantModifier({ rotations: ["R2"], transformType }))).toBeLessThan(1e-5);
  });

  if (name === "gpt2") {
    test("R4 is refused where no Linear closes a feed-forward", () => {
      expect(() => new SpinQuantModifier({ rotations: ["R4"] }).initialize(loadFixtureModel(name))).toThrow(
        "SpinQuantModifier: R4: no Linear reads what an activation function gives, expected some. Leave R4 out of rotations.",
      );
    });
  } else {
    test.each(types)("the logits stay with R4 on what activation functions give (%s)", async (transformType) => {
      expect(await deviation(new SpinQuantModifier({ rotations: ["R4"], transformType }))).toBeLessThan(1e-5);
    });
  }

  test("the logits stay with QuIP's rotations of inputs and outputs, the last projection's too", async () => {
    const narrow = ["re:.*shared_expert_gate"]; // one column
    const blocks = new QuIPModifier({ rotations: ["v", "u"], ignore: narrow, transformBlockSize: 4 });
    expect(await deviation(blocks)).toBeLessThan(1e-5);
    expect(await deviation(new QuIPModifier({ ignore: [] }))).toBeLessThan(1e-5);
  });

  if (POST_NORMS.includes(name)) {
    test("R1 is refused with the norm that is in its way", () => {
      expect(() => new SpinQuantModifier().initialize(loadFixtureModel(name))).toThrow(
        /^SpinQuantModifier: R1: model\.layers\.\d\.post_\w+_layernorm: scales what is added to the residual stream, /,
      );
    });
  } else {
    test.each(types)("the logits stay with R1 and R2 (%s)", async (transformType) => {
      expect(await deviation(new SpinQuantModifier({ transformType }))).toBeLessThan(1e-5);
    });

    test("the logits stay where R1 rotates in blocks", async () => {
      expect(await deviation(new SpinQuantModifier({ rotations: ["R1"], transformBlockSize: 4 }))).toBeLessThan(1e-5);
    });
  }
});

test("a change after which the model computes something else is an error that names it", async () => {
  const model = loadFixtureModel("llama");
  const { weight } = new Map(model.namedModules()).get("model.layers.0.mlp.up_proj") as Linear;
  const double = ({ data, shape }: Tensor<"F32">) =>
    new Tensor(
      "F32",
      shape,
      data.map((value) => 2 * value),
    );
  const doubling: Modifier = {
    name: "Doubling",
    options: {},
    requiresCalibrationData: false,
    initialize() {},
    rewrite: () => [{ name: "up_proj", parameters: new Map([[weight, double]]) }],
    async compress() {},
  };
  const failure = rewriteModel(model, [doubling], device);
  await expect(failure).rejects.toThrow(CompressionError);
  await expect(failure).rejects.toThrow(
    /^Doubling: up_proj: logits of a sample differ by .* Leave it out of the recipe\.$/,
  );
});

test("weights in 16 bits are rounded once, after all changes", async () => {
  const bfloat16 = (values: number[]) => new Tensor("BF16", [values.length], Uint16Array.from(values));
  const one = bfloat16(new Array(64).fill(0x3f80));
  const model = loadFixtureModel("llama", {}, new Map([["model.norm.weight", one]]));
  const { norm } = (model as unknown as { model: { norm: Linear } }).model;
  const third = ({ data, shape }: Tensor<"F32">) =>
    new Tensor(
      "F32",
      shape,
      data.map((value) => value / 3),
    );
  const triple = ({ data, shape }: Tensor<"F32">) =>
    new Tensor(
      "F32",
      shape,
      data.map((value) => value * 3),
    );
  const modifier: Modifier = {
    name: "Twice",
    options: {},
    requiresCalibrationData: false,
    initialize() {},
    rewrite: () => [third, triple].map((rewrite) => ({ name: "norm", parameters: new Map([[norm.weight, rewrite]]) })),
    async compress() {},
  };
  await rewriteModel(model, [modifier], { ...device, check: false });
  expect((await norm.weight.load()).data).toEqual(new Float32Array(64).fill(1));
  expect(norm.weight.source?.dtype).toBe("BF16");
});

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
