import type { Tensor } from "../../tensor/tensor.ts";

/** The least factor, as in the reference. */
const MINIMUM = 1e-5;

/**
 * SmoothQuant's factors (arXiv:2211.10438): s_j = a_j^α / w_j^(1−α) with w_j = 2 max |W_·j| over all weights; a_j where w_j is 0.
 *
 * @param ranges - a_j = max x_j − min x_j of each column of the activations
 * @param weights - [out, in] each, whose columns read those of the activations
 * @param strength - α
 */
export function smoothingFactors(
  ranges: Float64Array,
  weights: readonly Tensor<"F32">[],
  strength: number,
): Float64Array {
  const magnitudes = columnMagnitudes(weights);
  return ranges.map((a, j) => {
    const w = 2 * magnitudes[j];
    return Math.max(w > 0 ? a ** strength / w ** (1 - strength) : a, MINIMUM);
  });
}

/** Factors of logarithmic equalization (arXiv:2308.15987): s_j = a_j / log2(2 + a_j). */
export function equalizationFactors(ranges: Float64Array): Float64Array {
  return ranges.map((a) => Math.max(a / Math.log2(2 + a), MINIMUM));
}

/** max |W_·j| over all weights. */
function columnMagnitudes(weights: readonly Tensor<"F32">[]): Float64Array {
  const result = new Float64Array(weights[0].shape[1]);
  for (const { data } of weights) {
    for (let i = 0; i < data.length; i++) {
      const column = i % result.length;
      result[column] = Math.max(result[column], Math.abs(data[i]));
    }
  }
  return result;
}
