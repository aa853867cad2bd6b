import type { Node } from "../fx/node.ts";
import type { Reduction, Statistic, Tap } from "../modifiers/tap.ts";
import type { HookHandle } from "../nn/module.ts";
import type { Value } from "../runtime/executable.ts";
import type { Tensor } from "../tensor/tensor.ts";

interface TapOutput {
  readonly value: Node;
  readonly reduce: Reduction;
  readonly result: Node;
  /** Modules that read the value: their taps share the result. */
  readonly taps: Set<Tap>;
}

/**
 * Adds taps to a graph as extra outputs while it is traced, and sums up what they give over the batches.
 * A reduction of one value is computed once, however many modules read the value.
 */
export class TapRecorder {
  readonly #outputs = new Map<string, TapOutput>();
  readonly #totals = new Map<string, Statistic>();

  constructor(private readonly taps: readonly Tap[]) {}

  /** Hooks the tapped modules, so that tracing them records the taps. Remove the handle after the trace. */
  attach(): HookHandle {
    const handles = this.taps.map((tap) => this.#attachTo(tap));
    return {
      remove() {
        for (const handle of handles) handle.remove();
      },
    };
  }

  #attachTo(tap: Tap): HookHandle {
    const { module, value = 0 } = tap;
    const record = (observed: unknown) => {
      this.#record(tap, observed as Node);
      return undefined;
    };
    if (value === "output") return module.registerForwardHook((_, __, output) => record(output));
    return module.registerForwardPreHook((_, args) => record(args[value]));
  }

  /** The recorded reductions by output name. */
  get outputs(): Record<string, Node> {
    return Object.fromEntries([...this.#outputs].map(([name, { result }]) => [name, result]));
  }

  /** Adds what one batch of `sequences` rows gave. */
  add(results: Readonly<Record<string, Value>>, sequences: number): void {
    for (const [name, { reduce }] of this.#outputs) {
      const batch = results[name] as Tensor<"F32">;
      const total = this.#totals.get(name);
      const value = total ? reduce.merge(total.value, batch) : batch;
      this.#totals.set(name, { value, sequences: (total?.sequences ?? 0) + sequences });
    }
  }

  /** What each tap has seen; a module that was called twice has one total for each call. */
  *statistics(): Generator<[Tap, Statistic]> {
    for (const [name, { taps }] of this.#outputs) {
      const total = this.#totals.get(name);
      for (const tap of taps) if (total) yield [tap, total];
    }
  }

  #record(tap: Tap, value: Node): void {
    const known = [...this.#outputs.values()].find(
      (output) => output.value === value && output.reduce.name === tap.reduce.name,
    );
    if (known) known.taps.add(tap);
    else {
      const result = tap.reduce.apply(value);
      this.#outputs.set(`tap_${this.#outputs.size}`, { value, reduce: tap.reduce, result, taps: new Set([tap]) });
    }
  }
}
