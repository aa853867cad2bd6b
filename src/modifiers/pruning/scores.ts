import { type MaskStructure, type Pruned, smallestOfRows, smallestOfRuns } from "../../kernels/select.ts";

/** |w| · ‖x‖ for each weight, ‖x‖ the norm of what its column reads: the score of Wanda (arXiv:2306.11695). */
export function wandaScores(weight: Float32Array, norms: Float32Array): Float32Array {
  const columns = norms.length;
  const scores = new Float32Array(weight.length);
  for (let start = 0; start < weight.length; start += columns) {
    for (let column = 0; column < columns; column++)
      scores[start + column] = Math.abs(weight[start + column]) * norms[column];
  }
  return scores;
}

/** ‖x‖ of each column, as root mean square over sequences, from Σ x². */
export function columnNorms(energy: Float32Array, sequences: number): Float32Array {
  return energy.map((sum) => Math.sqrt(sum / sequences));
}

/** How many weights of a module become zero. */
export interface Sparsity {
  /** Share of the weights, from 0 to 1; what `structure` says counts before it. */
  readonly sparsity: number;
  readonly structure: MaskStructure | null;
}

/** In every row, the weights with the smallest scores: N of every M, or the share that `sparsity` is, rounded down. */
export function pruneByRow(scores: Float32Array, columns: number, { sparsity, structure }: Sparsity): Pruned {
  if (structure) return smallestOfRuns(scores, structure);
  return smallestOfRows(scores, columns, Math.trunc(columns * sparsity));
}

/** `weight` with zeros where `pruned` is 1. */
export function withZeros(weight: Float32Array, pruned: Pruned): Float32Array<ArrayBuffer> {
  return Float32Array.from(weight, (value, at) => (pruned[at] === 1 ? 0 : value));
}
