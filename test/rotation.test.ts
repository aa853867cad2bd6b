import { describe, expect, test } from "vitest";
import type { CausalLM } from "../src/models/causal-lm.ts";
import type { Modifier } from "../src/modifiers/modifier.ts";
import { QuIPModifier, type QuIPOptions } from "../src/modifiers/quip.ts";
import { SpinQuantModifier, type SpinQuantOptions } from "../src/modifiers/spinquant.ts";
import { Parameter } from "../src/nn/parameter.ts";
import { rewriteModel } from "../src/sequential/rewrite-model.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, loadFixtureModel, readGoldenLogits } from "./fixture-model.ts";
import { runWhole } from "./run-model.ts";

/** Families whose norms scale what is added to the residual stream, which R1 cannot be moved through. */
const POST_NORMS = ["gemma2", "gemma3"];

describe.each(FIXTURE_MODELS)("%s", (name) => {
  const golden = readGoldenLogits(name);
  const batch = {
    input_ids: golden.get("input_ids") as Tensor,
    attention_mask: golden.get("attention_mask") as Tensor,
  };

  /** The largest logit's magnitude, and how far any is off once the model is rotated. */
  async function deviation(modifier: Modifier): Promise<number> {
    const before = await runWhole(loadFixtureModel(name), batch);
    const model = loadFixtureModel(name);
    modifier.initialize(model, { warn: () => {} });
    await rewriteModel(model, [modifier], { device: "cpu", threads: 1 });
    const after = await runWhole(model, batch);
    expect(after.data).not.toEqual(before.data);
    const [largest, difference] = [before.data, after.data].map((_, side) =>
      before.data.reduce<number>((most, value, index) => {
        return Math.max(most, Math.abs(side === 0 ? Number(value) : Number(value) - Number(after.data[index])));
      }, 0),
    );
    return difference / largest;
  }

  const spin = (options: SpinQuantOptions) => deviation(new SpinQuantModifier(options));
  const quip = (options: QuIPOptions) => deviation(new QuIPModifier(options));

  test.each(["hadamard", "random-hadamard"] as const)("the logits stay where R2 rotates values (%s)", async (type) => {
    expect(await spin({ rotations: ["R2"], transformType: type })).toBeLessThan(1e-5);
  });

  test("the logits stay with QuIP's rotations of inputs and outputs, the last projection's too", async () => {
    const narrow = ["re:.*shared_expert_gate"]; // one column
    expect(await quip({ rotations: ["v", "u"], ignore: narrow, transformBlockSize: 4 })).toBeLessThan(1e-5);
    expect(await quip({ ignore: [] })).toBeLessThan(1e-5);
  });

  if (POST_NORMS.includes(name)) {
    test("R1 is refused with the norm that is in its way", () => {
      expect(() => new SpinQuantModifier().initialize(loadFixtureModel(name))).toThrow(
        /^SpinQuantModifier: R1: model\.layers\.\d\.post_\w+_layernorm: scales what is added to the residual stream, /,
      );
    });
  } else {
    test.each(["hadamard", "random-hadamard"] as const)(
      "the logits stay with R1 and R2 (%s)",
      async (transformType) => {
        expect(await spin({ transformType })).toBeLessThan(1e-5);
      },
    );

    test("the logits stay where R1 rotates in blocks", async () => {
      expect(await spin({ rotations: ["R1"], transformBlockSize: 4 })).toBeLessThan(1e-5);
    });
  }
});
