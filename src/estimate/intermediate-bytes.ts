import type { Batch } from "../sequential/intermediates.ts";
import type { Subgraph } from "../sequential/subgraph.ts";
import { bytesOf, completeSizes, type Sizes, sizesOf } from "./sizes.ts";

/** Bytes of the values that go from subgraph to subgraph, subgraph by subgraph. */
export class IntermediateBytes {
  readonly #sizes: readonly Sizes[];
  /** Bytes of all batches, by the names that are stored. */
  readonly #live = new Map<string, number>();

  constructor(batches: readonly Batch[]) {
    this.#sizes = batches.map(sizesOf);
  }

  /**
   * Goes through a subgraph: what it returns is stored batch by batch, while what nobody reads any more goes.
   *
   * @param isPropagated - whether anything after it is run at all
   * @returns the bytes of all batches together before it or after it, whichever is more, without the model's inputs
   */
  pass(subgraph: Subgraph, isPropagated: boolean): number {
    const before = this.#total();
    if (!isPropagated) return before;
    for (const [name, node] of subgraph.graph.outputs) {
      const bytes = this.#sizes.map((sizes) => bytesOf(node, completeSizes(subgraph.graph, sizes)));
      this.#live.set(
        name,
        bytes.reduce((sum, ofBatch) => sum + ofBatch, 0),
      );
    }
    for (const name of subgraph.consumedNames) this.#live.delete(name);
    return Math.max(before, this.#total());
  }

  #total(): number {
    return [...this.#live.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}
