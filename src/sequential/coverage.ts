import { CompressionError } from "../errors.ts";
import type { CoupledModules, Modifier } from "../modifiers/modifier.ts";
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

/**
 * Checks that modules which a modifier changes together are called in one subgraph alone.
 *
 * @param called - the modules that each subgraph calls
 * @throws CompressionError naming the modules that are not
 */
export function checkCoupled(
  model: Module,
  modifiers: readonly Modifier[],
  called: readonly (readonly (readonly [path: string, module: Module])[])[],
): void {
  const coupled = modifiers.flatMap((modifier): readonly CoupledModules[] => modifier.coupled ?? []);
  if (coupled.length === 0) return;
  const subgraphs = called.map((modules) => new Set(modules.map(([, module]) => module)));
  for (const { name, modules } of coupled) {
    const found = subgraphs.filter((own) => modules.some((module) => own.has(module)));
    if (found.length === 1 && modules.every((module) => found[0].has(module))) continue;
    const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
    const uncalled = modules
      .filter((module) => !found.some((own) => own.has(module)))
      .map((module) => paths.get(module));
    const what = uncalled.length > 0 ? `${uncalled.join(", ")} not called` : `called in ${found.length} subgraphs`;
    throw new CompressionError(
      `${name}: ${what}, expected all of it in one. Trace the subgraphs with these modules together.`,
    );
  }
}
