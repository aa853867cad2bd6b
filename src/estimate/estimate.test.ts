import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { oneshot } from "../oneshot.ts";
import { estimate } from "./estimate.ts";

const here = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const run = {
  model: here("test/fixtures/models/llama"),
  recipe:
    "quantization_stage:\n  quantization_modifiers:\n    GPTQModifier: { scheme: W8A8, ignore: [lm_head], targets: [Linear] }",
  dataset: [{ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] }],
  numCalibrationSamples: 1,
};

test("the size of the output is predicted to the byte", async () => {
  const output = join(await temporaryFolder(), "output");
  const { outputBytes } = await estimate(run);
  await oneshot({ ...run, output });
  expect((await stat(join(output, "model.safetensors"))).size).toBe(outputBytes);
});

test("one pass takes less work than two", async () => {
  const [two, one] = [await estimate(run), await estimate({ ...run, onePass: true })];
  expect(one.multiplyAdds).toBeLessThan(two.multiplyAdds);
  expect(one.tokens).toBe(8);
});
