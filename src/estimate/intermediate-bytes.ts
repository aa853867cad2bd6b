import type { Batch } from "../sequential/intermediates.ts";
import type { Subgraph } from "../sequential/subgraph.ts";
import { bytesOf, completeSizes, type Sizes, sizesOf } from "./sizes.ts";

/** Bytes of the values that go from subgraph to subgraph, subgraph by subgraph. */
export class IntermediateBytes {
  readonly #sizes: readonly Sizes[];
  /** Bytes of all batches, by the names that are stored. */
  readonly #live = new Map<string, number>();
  /** The most bytes so far of values of one size: memory that is free waits for values of the size that it had. */
  readonly #taken = new Map<number, number>();

  constructor(batches: readonly Batch[]) {
    this.#sizes = batches.map(sizesOf);
  }

  /**
   * Goes through a subgraph: what it returns is stored batch by batch, while what nobody reads any more goes.
   *
   * @param isPropagated - whether anything after it is run at all
   * @returns the bytes that all batches together have taken, without the model's inputs
   */
  pass(subgraph: Subgraph, isPropagated: boolean): number {
    if (!isPropagated) return this.#total();
    for (const [name, node] of subgraph.graph.outputs) {
      const bytes = this.#sizes.map((sizes) => bytesOf(node, completeSizes(subgraph.graph, sizes)));
      this.#live.set(
        name,
        bytes.reduce((sum, ofBatch) => sum + ofBatch, 0),
      );
    }
    for (const name of subgraph.consumedNames) this.#live.delete(name);
    return this.#total();
  }

  #total(): number {
    for (const size of new Set(this.#live.values())) {
      const live = [...this.#live.values()].filter((bytes) => bytes === size).length * size;
      this.#taken.set(size, Math.max(this.#taken.get(size) ?? 0, live));
    }
    return [...this.#taken.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}
