import type { PrunedColumns, PruningProblem } from "../src/kernels/prune-columns.ts";
import { invert, upperCholesky } from "./gptq-reference.ts";

/**
 * The loop of the paper (arXiv:2301.00774) as it stands there, in float64: U = cholesky(H⁻¹), upper; weights are pruned
 * where (w / U)² is small, and after each column its error is carried to all columns still to come.
 *
 * @param hessian - damped, [columns, columns], columns in their own order
 */
export function pruneColumnsDirectly(hessian: Float64Array, problem: PruningProblem): PrunedColumns {
  const { blockSize } = problem;
  const n = Math.sqrt(hessian.length);
  const rows = problem.weight.length / n;
  const u = upperCholesky(invert(hessian, n), n);
  const weight = Float64Array.from(problem.weight);
  const pruned = Uint8Array.from(problem.pruned ?? new Uint8Array(weight.length));
  let loss = 0;
  const columnsFrom = (start: number, count: number) => Array.from({ length: count }, (_, index) => start + index);
  const saliency = (at: number) => (pruned[at] ? -1 : (weight[at] / u[(at % n) * (n + 1)]) ** 2);
  for (let start = 0; start < n; start += blockSize) {
    const block = columnsFrom(start, Math.min(blockSize, n - start));
    const places = columnsFrom(0, rows).flatMap((row) => block.map((column) => row * n + column));
    const count = Math.trunc(places.length * problem.sparsity);
    const isEnough = problem.pruned && count <= places.filter((at) => pruned[at]).length;
    if (!problem.structure && !isEnough) markUpTo(places, count, saliency, pruned);
    for (const column of block) {
      for (let row = 0; row < rows; row++) {
        const { prune, of } = problem.structure ?? { prune: 0, of: n };
        if (column % of === 0) {
          const run = columnsFrom(row * n + column, Math.min(of, n - column));
          const sorted = run.toSorted((a, b) => saliency(a) - saliency(b) || a - b);
          for (const at of sorted.slice(0, prune)) pruned[at] = 1;
        }
        const at = row * n + column;
        const error = pruned[at] ? weight[at] / u[column * n + column] : 0;
        loss += error ** 2 / 2;
        for (let k = column; k < n; k++) weight[row * n + k] -= error * u[column * n + k];
        if (pruned[at]) weight[at] = 0;
      }
    }
  }
  return { weight: Float32Array.from(weight), loss };
}

/** Prunes all of a block up to the element at index `count` of its sorted saliencies. */
function markUpTo(places: number[], count: number, saliency: (at: number) => number, pruned: Uint8Array): void {
  const sorted = places.toSorted((a, b) => saliency(a) - saliency(b));
  const threshold = saliency(sorted[Math.min(count, sorted.length - 1)]);
  for (const at of places.filter((place) => saliency(place) <= threshold)) pruned[at] = 1;
}
