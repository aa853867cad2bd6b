import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { verify } from "../src/verify/verify.ts";
import { FIXTURES } from "./compressed-fixture.ts";
import { BASES, type Base, LLAMA, makeBases } from "./damaged-checkpoint.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const folderOf = makeBases(Object.keys(BASES) as Base[]);

test.each(Object.entries(BASES))("%s: nothing is wrong with what was not damaged", async (name, { model }) => {
  const { problems, notes, comparisons } = await verify({ model: folderOf(name as Base), source: model, threads: 1 });
  expect([problems, notes]).toEqual([[], []]);
  expect(comparisons[0].logits.klDivergence).toBeLessThan(0.3);
  expect((await verify({ model: folderOf(name as Base) })).problems).toEqual([]);
});

test.each(["rtn-fp8", "rtn-nvfp4", "rtn-kv-fp8", "gptq-w4a16", "gptq-g32-sym-none", "gptq-g32-asym-static"])(
  "%s: nothing is wrong with what the reference wrote",
  async (name) => {
    const options = { model: join(FIXTURES, name), source: join(FIXTURES, "model"), threads: 1 };
    const { problems, comparisons } = await verify(options);
    const others = problems.filter(({ message }) => !message.includes("a copy of the file of the original model"));
    expect(others).toEqual([]); // the fixtures were stored without their tokenizers
    expect(comparisons[0].subgraphs).toHaveLength(3);
  },
);

test.each([
  ["SpinQuantModifier: {rotations: [R1, R2]}", "layers are not judged one by one: the output of model.embed_tokens"],
  ["SmoothQuantModifier: {}", "weights are not judged one by one: model.layers.*.input_layernorm"],
])("after %s nothing is wrong, and what does not compare is told", async (modifier, note) => {
  const output = join(await temporaryFolder(), "output");
  const recipe = `${modifier}\nQuantizationModifier: {scheme: W8A16, ignore: [lm_head]}`;
  await oneshot({ model: LLAMA, recipe, dataset: [{ text: "Call me Ishmael." }], output, threads: 1 });
  const { problems, notes, comparisons } = await verify({ model: output, source: LLAMA, threads: 1 });
  expect(problems).toEqual([]);
  expect(notes.join("\n")).toContain(note);
  expect(comparisons[0].logits.top1Agreement).toBeGreaterThan(0.9);
});

test("a run whose output decodes to zeros ends in an error, and the output appears only when it is asked for", async () => {
  const output = join(await temporaryFolder(), "output");
  const recipe = new ZeroingModifier({ scheme: "W8A16", ignore: ["lm_head"] });
  const options: OneshotOptions = { model: LLAMA, recipe, output, threads: 1 };
  await expect(oneshot(options)).rejects.toThrow("q_proj: every weight decodes to zero, expected some that are not");
  expect(await readdir(join(output, ".."))).toEqual(["output.partial"]);
  await oneshot({ ...options, resume: true, verify: false });
  expect((await verify({ model: output })).problems).not.toEqual([]);
});

/** Rounds to nearest, and forgets all codes. */
class ZeroingModifier extends QuantizationModifier {
  override compress(stage: Parameters<QuantizationModifier["compress"]>[0]): Promise<void> {
    return super.compress(
      new Proxy(stage, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (name !== "setQuantized") return typeof value === "function" ? value.bind(target) : value;
          return (...[module, quantized, options]: Parameters<typeof target.setQuantized>) => {
            const codes = Tensor.zeros(quantized.codes.dtype, quantized.codes.shape);
            target.setQuantized(module, { ...quantized, codes }, options);
          };
        },
      }),
    );
  }
}
