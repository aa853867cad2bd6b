import { RecipeError } from "../errors.ts";
import { kBlockMse } from "./k-blocks.ts";
import { memorylessMinmax, minmax, staticMinmax } from "./minmax.ts";
import { fouroversix, imatrixMse, memorylessMse, mse, nvfp4ExpandedImatrix, nvfp4ExpandedMse } from "./mse.ts";
import type { Observer } from "./observer.ts";

/** Observers by name; pass `{ ...observers, mine }` where one of your own should be found. */
export type ObserverRegistry = Readonly<Record<string, Observer>>;

/** The observers that layerwise brings: those of llm-compressor. */
export const observers: ObserverRegistry = Object.fromEntries(
  [
    memorylessMinmax,
    staticMinmax,
    minmax,
    memorylessMse,
    mse,
    imatrixMse,
    nvfp4ExpandedMse,
    nvfp4ExpandedImatrix,
    fouroversix,
    kBlockMse,
  ].map((observer) => [observer.name, observer]),
);

/** The observer of a weight, and what the user should know about the choice. */
interface ResolvedObserver {
  readonly observer: Observer;
  readonly warning?: string;
}

/**
 * The observer that a weight's arguments ask for by `name`; null is the default one, `memoryless_minmax`.
 *
 * A name that needs a memory of earlier batches (`minmax`, `mse`) gets its memoryless twin and a warning, since a weight
 * is observed once.
 *
 * @throws RecipeError if no observer has this name.
 */
export function resolveWeightObserver(name: string | null, registry: ObserverRegistry = observers): ResolvedObserver {
  const asked = findObserver(name ?? memorylessMinmax.name, registry);
  if (asked.forWeights === undefined) return { observer: asked };
  const observer = findObserver(asked.forWeights, registry);
  return { observer, warning: `Overriding weight observer for lower memory usage (${name} -> ${observer.name})` };
}

/** The observer of an activation; null is the default one, `minmax`. @throws RecipeError if no observer has this name. */
export function resolveActivationObserver(name: string | null, registry: ObserverRegistry = observers): Observer {
  return findObserver(name ?? minmax.name, registry);
}

function findObserver(name: string, registry: ObserverRegistry): Observer {
  if (Object.hasOwn(registry, name)) return registry[name];
  throw new RecipeError(`observer: "${name}" is unknown, expected one of ${Object.keys(registry).join(", ")}.`);
}
