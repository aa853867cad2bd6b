import type { Buffers } from "../tensor/buffers.ts";
import type { Arena } from "./arena.ts";
import type { LowerPanel, LowerPanels } from "./lower-panels.ts";
import { type MatrixProducts, rowsOf } from "./matrix-products.ts";
import type { Threads } from "./threads.ts";

/** Where kernels work, what multiplies for them, and memory for what they hand one another. */
export interface KernelContext {
  readonly arena: Arena;
  readonly threads: Threads;
  readonly products: MatrixProducts;
  readonly buffers: Buffers;
}

/**
 * Factorises H = L Lᵀ in place, in float32, panel by panel: what the panels before take from one is matrix products; the
 * rest of it is done in the kernels.
 *
 * @returns false if H is not positive definite; its panels are then of no use
 */
export async function factorize(context: KernelContext, { panels }: LowerPanels): Promise<boolean> {
  for (const [index, panel] of panels.entries()) {
    for (const earlier of panels.slice(0, index)) await subtractEarlier(context, panel, earlier);
    if (!(await factorPanel(context, panel))) return false;
  }
  return true;
}

/** panel −= E E₀ᵀ, where E are the rows of the earlier panel that lie beside this one, and E₀ the first of them. */
async function subtractEarlier({ products }: KernelContext, { start, matrix }: LowerPanel, earlier: LowerPanel) {
  const first = start - earlier.start;
  const beside = rowsOf(earlier.matrix, first);
  await products.subtractProduct(matrix, beside, rowsOf(beside, 0, matrix.shape[1]));
}

/** The diagonal block's factor, then the rows below: L[i, block] = A[i, block] · L[block, block]⁻ᵀ. */
function factorPanel({ arena, threads }: KernelContext, { matrix }: LowerPanel): Promise<boolean> {
  return arena.scoped(() => {
    const [rows, width] = matrix.shape;
    const address = arena.put(matrix.data);
    if (!threads.here.factorDiagonal(address, width)) return false;
    const cut = (thread: number) => width + Math.round(((rows - width) * thread) / threads.count);
    threads.run("solveRows", (thread) => {
      const [begin, end] = [cut(thread), cut(thread + 1)];
      return begin < end ? [address, width, begin, end] : null;
    });
    matrix.data.set(arena.view(Float32Array, address, matrix.data.length));
    return true;
  });
}
