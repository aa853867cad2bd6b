import { Buffers } from "../tensor/buffers.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * The lower triangle of a symmetric matrix, or a lower triangular one, in panels of a few columns: each holds its columns
 * from their diagonal block down, as rows of [columns − start, width]. What is above the diagonal in that block is not read.
 */
export interface LowerPanels {
  readonly columns: number;
  readonly panels: readonly LowerPanel[];
}

/** Columns `start` and the next few of a {@link LowerPanels}. */
export interface LowerPanel {
  readonly start: number;
  readonly matrix: Tensor<"F32">;
}

/** Columns of a panel: few, as work inside a panel is no product; more where there are many panels to be multiplied. */
const [NARROW, WIDE, LARGE] = [128, 512, 4096];

/**
 * Panels for a matrix of `columns` columns, whose values are whatever they are, in memory of `kept`. Large ones have their own: they
 * would lie idle while the next subgraph is run.
 */
export function takeLowerPanels(columns: number, kept: Buffers): LowerPanels {
  const [width, buffers] = columns < LARGE ? [NARROW, kept] : [WIDE, new Buffers()];
  const panels = Array.from({ length: Math.ceil(columns / width) }, (_, index) => {
    const start = index * width;
    return { start, matrix: buffers.take("F32", [columns - start, Math.min(width, columns - start)]) };
  });
  return { columns, panels };
}
