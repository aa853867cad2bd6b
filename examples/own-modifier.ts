// A modifier of your own: sets the smallest weights of every linear in the decoder layers to zero.
import { fileURLToPath } from "node:url";
import { type CompressionStage, Linear, type Modifier, oneshot, Tensor, toFloat32 } from "layerwise";

class MagnitudePruning implements Modifier {
  readonly name = "MagnitudePruning";
  readonly requiresCalibrationData = false;

  constructor(readonly options: { readonly sparsity: number }) {}

  initialize(): void {}

  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      if (!(module instanceof Linear) || path === "lm_head") continue;
      const weight = toFloat32(await stage.weight(module));
      const magnitudes = weight.data.map(Math.abs).sort();
      const threshold = magnitudes[Math.floor(magnitudes.length * this.options.sparsity)];
      const pruned = weight.data.map((value) => (Math.abs(value) < threshold ? 0 : value));
      stage.setWeight(module, new Tensor("F32", weight.shape, pruned));
      console.log(`${path}: ${pruned.filter((value) => value === 0).length} of ${pruned.length} weights are zero`);
    }
  }
}

await oneshot({
  model: fileURLToPath(new URL("moby-tiny", import.meta.url)),
  recipe: new MagnitudePruning({ sparsity: 0.5 }),
  output: fileURLToPath(new URL("../out/moby-tiny-sparse", import.meta.url)),
  overwrite: true,
});
