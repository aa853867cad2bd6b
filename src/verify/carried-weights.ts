import { compressedModules } from "../formats/bind-checkpoint.ts";
import type { Source } from "./check-checkpoint.ts";

/** Names of the weights that a checkpoint holds as integers, and a quantized file that is exported from it therefore too. */
export function carriedWeights({ model, checkpoint }: Pick<Source, "model" | "checkpoint">): Set<string> {
  const integers = [...compressedModules(model, checkpoint).values()].filter(({ args }) => args.type === "int");
  return new Set(integers.map(({ path }) => `${path}.weight`));
}
