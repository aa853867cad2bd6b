import { DataError, ExecutionError } from "../errors.ts";
import type { Value } from "../runtime/executable.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The model's inputs for one run: I64[rows, tokens] each, the same names in every batch. */
export type Batch = Readonly<Record<string, Tensor>>;

/** @throws DataError naming a batch that has other keys than the first */
export function checkBatches(batches: readonly Readonly<Record<string, unknown>>[]): void {
  const [expected, ...found] = batches.map((batch) => Object.keys(batch).sort().join(", "));
  const differs = found.findIndex((keys) => keys !== expected);
  if (differs < 0) return;
  throw new DataError(
    `batch ${differs + 1}: ${found[differs] || "no keys"}, expected ${expected} as in batch 0. Give every batch the same keys.`,
  );
}

/** What flows from subgraph to subgraph: for each batch, the values that a later subgraph still reads, by name. */
export class IntermediatesCache {
  readonly #batches: Map<string, Value>[];

  /**
   * @param batches - the model's inputs, which the first subgraphs read
   * @throws DataError naming a batch that has other keys than the first
   */
  constructor(batches: readonly Readonly<Record<string, Value>>[]) {
    checkBatches(batches);
    this.#batches = batches.map((batch) => new Map(Object.entries(batch)));
  }

  get batchCount(): number {
    return this.#batches.length;
  }

  /** The values called `names` of one batch. @throws ExecutionError for a name that is not stored */
  fetch(batch: number, names: Iterable<string>): Record<string, Value> {
    return Object.fromEntries([...names].map((name) => [name, this.#get(batch, name)]));
  }

  /** Stores values of one batch, in place of earlier ones of the same name. They must not be changed afterwards. */
  update(batch: number, values: Readonly<Record<string, Value>>): void {
    for (const [name, value] of Object.entries(values)) this.#batches[batch].set(name, value);
  }

  /** Forgets values of one batch. @throws ExecutionError for a name that is not stored */
  delete(batch: number, names: Iterable<string>): void {
    for (const name of names) {
      this.#get(batch, name);
      this.#batches[batch].delete(name);
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const values of this.#batches) values.clear();
  }

  /** Names stored for one batch. */
  names(batch: number): string[] {
    return [...this.#batches[batch].keys()];
  }

  /** Bytes of all values; one that is stored for several batches counts once. */
  get byteLength(): number {
    const tensors = new Set(this.#batches.flatMap((values) => [...values.values()].flat()));
    return [...tensors].reduce((sum, tensor) => sum + tensor.byteLength, 0);
  }

  #get(batch: number, name: string): Value {
    const value = this.#batches[batch].get(name);
    if (value === undefined) {
      throw new ExecutionError(`batch ${batch}: no value ${name}, expected one of: ${this.names(batch).join(", ")}.`);
    }
    return value;
  }
}
