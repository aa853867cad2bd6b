import { RecipeError } from "../errors.ts";
import { memorylessMinmax } from "./minmax.ts";
import type { Observer } from "./observer.ts";

/** Observers by name; pass `{ ...observers, mine }` where one of your own should be found. */
export type ObserverRegistry = Readonly<Record<string, Observer>>;

/** The observers that layerwise brings. */
export const observers: ObserverRegistry = { [memorylessMinmax.name]: memorylessMinmax };

/** The observer of a weight, and what the user should know about the choice. */
export interface ResolvedObserver {
  readonly observer: Observer;
  readonly warning?: string;
}

/**
 * The observer that a weight's arguments ask for by `name`; null is the default one.
 *
 * A name that needs a memory of earlier batches (`minmax`) gets its memoryless twin and a warning, since a weight is
 * observed once.
 *
 * @throws RecipeError if no observer has this name.
 */
export function resolveWeightObserver(name: string | null, registry: ObserverRegistry = observers): ResolvedObserver {
  if (name === null) return { observer: memorylessMinmax };
  if (Object.hasOwn(registry, name)) return { observer: registry[name] };
  const observer = Object.values(registry).find(({ standsInFor }) => standsInFor?.includes(name));
  if (observer) {
    return { observer, warning: `Overriding weight observer for lower memory usage (${name} -> ${observer.name})` };
  }
  throw new RecipeError(`observer: "${name}" is unknown, expected one of ${Object.keys(registry).join(", ")}.`);
}
