import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import type { Reduction, Tap } from "../modifiers/tap.ts";
import type { HookHandle } from "../nn/module.ts";
import type { Value } from "../runtime/executable.ts";
import { Buffers } from "../tensor/buffers.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Observed } from "./executor.ts";

/** One reduction of one value, and the totals that it has come to. */
interface Observation {
  readonly value: Node;
  readonly reduce: Reduction;
  /** Modules that read the value: their taps share the totals. */
  readonly taps: Set<Tap>;
  /** Names under which the graph takes the totals before a batch, in order. */
  readonly inputs: readonly string[];
  /** The totals after a batch, by the names under which the graph gives them, in the same order. */
  readonly results: Readonly<Record<string, Node>>;
  totals: readonly Tensor<"F32">[];
  sequences: number;
}

/**
 * Adds taps to a graph while it is traced: inputs for the totals so far, outputs for those after a batch.
 * A reduction of one value is computed once, however many modules read the value.
 */
export class TapRecorder {
  readonly #observations: Observation[] = [];

  /** @param buffers - gives memory for totals */
  constructor(
    private readonly taps: readonly Tap[],
    private readonly buffers = new Buffers(),
  ) {}

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

  /** The totals after a batch by output name: what the graph is to return. */
  get outputs(): Record<string, Node> {
    return Object.assign({}, ...this.#observations.map(({ results }) => results));
  }

  /** The totals so far: what the graph reads beside its own inputs. */
  get inputs(): Record<string, Tensor> {
    return Object.fromEntries(
      this.#observations.flatMap(({ inputs, totals }) => inputs.map((name, index) => [name, totals[index]])),
    );
  }

  /** The total that a new one called `name` may be written over. */
  readonly allocate = (name: string): Tensor | undefined => {
    for (const { results, reduce, totals } of this.#observations) {
      const index = Object.keys(results).indexOf(name);
      if (index >= 0) return reduce.inPlace ? totals[index] : undefined;
    }
    return undefined;
  };

  /** Takes the totals after a batch of `sequences` rows. */
  add(found: Readonly<Record<string, Value>>, sequences: number): void {
    for (const observation of this.#observations) {
      observation.totals = Object.keys(observation.results).map((name) => found[name] as Tensor<"F32">);
      observation.sequences += sequences;
    }
  }

  /** What was seen, value by value; of a module that was called twice, two values. */
  *observed(): Generator<Observed> {
    for (const { taps, reduce, totals, sequences } of this.#observations) {
      const value = reduce.finish(totals);
      for (const total of totals) if (total !== value) this.buffers.give(total);
      yield { taps: [...taps], statistic: { value, sequences } };
    }
  }

  #record(tap: Tap, value: Node): void {
    const known = this.#observations.find((other) => other.value === value && other.reduce.name === tap.reduce.name);
    if (known) known.taps.add(tap);
    else this.#observations.push(this.#observe(tap, value));
  }

  #observe(tap: Tap, value: Node): Observation {
    const { reduce } = tap;
    const name = `tap_${this.#observations.length}`;
    const totals = reduce.initial(value.tensorType, this.buffers);
    const inputs = totals.map(({ dtype, shape: [rows, ...rest] }, index) => {
      const shape = [reduce.grows ? `${name}_rows` : rows, ...rest];
      return (value.graph as Graph).placeholder(`${name}_total_${index}`, { dtype, shape });
    });
    const results = Object.fromEntries(
      reduce.accumulate(value, inputs).map((result, index) => [`${name}_${index}`, result]),
    );
    return {
      value,
      reduce,
      taps: new Set([tap]),
      inputs: inputs.map((node) => node.name),
      results,
      totals,
      sequences: 0,
    };
  }
}
