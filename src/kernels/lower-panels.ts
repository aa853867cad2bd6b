import { Buffers } from "../tensor/buffers.ts";
import { Tensor } from "../tensor/tensor.ts";

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

/** Columns `start` to `end` of a factor, from their diagonal block down: [columns − start, end − start]. */
export function columnsOf({ columns, panels }: LowerPanels, start: number, end: number): Tensor<"F32"> {
  const result = Tensor.zeros("F32", [columns - start, end - start]);
  for (const panel of panels) {
    const width = panel.matrix.shape[1];
    const [begin, stop] = [Math.max(start, panel.start), Math.min(end, panel.start + width)];
    for (let row = begin; row < columns && begin < stop; row++) {
      const from = (row - panel.start) * width - panel.start;
      result.data.set(
        panel.matrix.data.subarray(from + begin, from + stop),
        (row - start) * (end - start) + begin - start,
      );
    }
  }
  return result;
}

/** The diagonal block of a panel in `target`: [p, k] is L[k, p]. */
export function transposeBlock(
  { data, shape: [, width] }: LowerPanel["matrix"],
  target = new Float32Array(width * width),
): Float32Array {
  for (let k = 0; k < width; k++) for (let p = 0; p <= k; p++) target[p * width + k] = data[k * width + p];
  return target;
}
