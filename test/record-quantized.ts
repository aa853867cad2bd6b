import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import type { QuantizedWeight } from "../src/schemes/quantize.ts";

/** The codes that a modifier gives its modules, by path; filled while the modifier runs. */
export function recordQuantized(modifier: Modifier): ReadonlyMap<string, QuantizedWeight> {
  const recorded = new Map<string, QuantizedWeight>();
  const compress = modifier.compress.bind(modifier);
  modifier.compress = (stage: CompressionStage) => {
    const paths = new Map(stage.modules.map(([path, module]) => [module, path]));
    const setQuantized = stage.setQuantized.bind(stage);
    stage.setQuantized = (module, quantized, options) => {
      recorded.set(paths.get(module) as string, quantized);
      setQuantized(module, quantized, options);
    };
    return compress(stage);
  };
  return recorded;
}
