import { CompressionError } from "../errors.ts";
import type { CoupledModules, Modifier } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";

/**
 * Checks that every module which a modifier has a scheme for is called by some subgraph: no other is ever calibrated.
 *
 * @throws CompressionError naming the modules that are not
 */
export function checkCoverage(model: Module, modifiers: readonly Modifier[], called: ReadonlySet<Module>): void {
  const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
  for (const { name, schemes = [] } of modifiers) {
    const missed = [...schemes].flatMap(([module]) => (called.has(module) ? [] : [paths.get(module)]));
    if (missed.length === 0) continue;
    throw new CompressionError(
      `${missed.join(", ")}: called by no subgraph, expected ${name} to see every module that it quantizes. ` +
        "Add it to ignore, or call it outside of opaque functions.",
    );
  }
}

/**
 * Checks that modules which a modifier changes together are called in one subgraph alone.
 *
 * @param calls - each module with the index of a subgraph that calls it
 * @throws CompressionError naming the modules that are not
 */
export function checkCoupled(
  model: Module,
  modifiers: readonly Modifier[],
  calls: readonly (readonly [module: Module, subgraph: number])[],
): void {
  const coupled = modifiers.flatMap((modifier): readonly CoupledModules[] => modifier.coupled ?? []);
  if (coupled.length === 0) return;
  const subgraphs = new Map<Module, Set<number>>();
  for (const [module, index] of calls) subgraphs.set(module, (subgraphs.get(module) ?? new Set()).add(index));
  for (const { name, modules } of coupled) {
    const found = new Set(modules.flatMap((module) => [...(subgraphs.get(module) ?? [])]));
    if (found.size === 1 && modules.every((module) => subgraphs.has(module))) continue;
    const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
    const uncalled = modules.filter((module) => !subgraphs.has(module)).map((module) => paths.get(module));
    const what = uncalled.length > 0 ? `${uncalled.join(", ")} not called` : `called in ${found.size} subgraphs`;
    throw new CompressionError(
      `${name}: ${what}, expected all of it in one. Take decoder layers as sequential targets, not in one pass.`,
    );
  }
}
