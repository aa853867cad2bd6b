import type { Traceable } from "../fx/traceable.ts";
import { Tracer } from "../fx/tracer.ts";

/** What a sequential trace does not enter. */
export interface SequentialTracerOptions {
  /** Names of functions that become one opaque node. */
  readonly ignore?: readonly string[];
}

/** Traces through the ancestors of the sequential targets; every other module becomes one call. */
export class SequentialTracer extends Tracer {
  readonly #ignore: ReadonlySet<string>;

  /**
   * @param ancestors - modules to enter: see getSequentialAncestors
   * @param offloaded - modules that are one call even if they are ancestors
   */
  constructor(
    readonly ancestors: ReadonlySet<Traceable>,
    readonly offloaded: ReadonlySet<Traceable> = new Set(),
    { ignore = [] }: SequentialTracerOptions = {},
  ) {
    super();
    this.#ignore = new Set(ignore);
  }

  override isLeafModule(module: Traceable): boolean {
    return !this.ancestors.has(module) || this.offloaded.has(module);
  }

  override isLeafFunction(name: string): boolean {
    return this.#ignore.has(name);
  }
}
