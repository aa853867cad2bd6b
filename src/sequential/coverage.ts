import { CompressionError } from "../errors.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";

/**
 * Checks that every module which a modifier is to change is called by some subgraph: no other is ever calibrated.
 *
 * @throws CompressionError naming the modules that are not
 */
export function checkCoverage(model: Module, modifiers: readonly Modifier[], called: ReadonlySet<Module>): void {
  const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
  for (const { name, quantization, targets = [] } of modifiers) {
    const changed = [...(quantization?.schemes.keys() ?? []), ...targets];
    const missed = changed.flatMap((module) => (called.has(module) ? [] : [paths.get(module)]));
    if (missed.length === 0) continue;
    throw new CompressionError(
      `${missed.join(", ")}: called by no subgraph, expected ${name} to see every module that it compresses. ` +
        "Add it to ignore, or call it outside of opaque functions.",
    );
  }
}
