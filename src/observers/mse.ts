import type { QuantizationArgs } from "../schemes/arguments.ts";
import { combineAveraging, combineLast } from "./combine.ts";
import type { Observer, RangeSearch } from "./observer.ts";
import { parseSearch, type SearchDefaults, searchRange } from "./range-search.ts";

const MSE: SearchDefaults = { maxshrink: 0.2, grid: 100, patience: 5, norm: 2.4, expand: 1 };
const IMATRIX: SearchDefaults = { maxshrink: 0.95, grid: 20, patience: 5, norm: 3, expand: 1 };
/** From 1.8 times the range down to 0.8 times: float4 with float8 scales gains from wider ranges too. */
const EXPANDED = { maxshrink: 1 - 0.8 / 1.8, grid: 200, patience: 1000, norm: 2.4, expand: 1.8 };

/** Name, and how the observations of an activation are put together. */
type Kind = Pick<Observer, "name" | "forWeights" | "combine">;

/** The range with the smallest error of the last tensor seen. */
export const memorylessMse: Observer = mseObserver({ name: "memoryless_mse", combine: combineLast }, MSE);

/** A moving average of the ranges with the smallest error. */
export const mse: Observer = mseObserver({ name: "mse", forWeights: "memoryless_mse", combine: combineAveraging }, MSE);

/** As `memoryless_mse`, in ranges that suit NVFP4. */
export const nvfp4ExpandedMse: Observer = mseObserver({ name: "nvfp4_expanded_mse", combine: combineLast }, EXPANDED);

/** The older name of `nvfp4_expanded_mse`. */
export const fouroversix: Observer = { ...nvfp4ExpandedMse, name: "fouroversix" };

/** The range with the smallest error, in which each column counts by the mean square of its input. */
export const imatrixMse: Observer = imatrixObserver("imatrix_mse", IMATRIX);

/** As `imatrix_mse`, in ranges that suit NVFP4. */
export const nvfp4ExpandedImatrix: Observer = imatrixObserver("nvfp4_expanded_imatrix", EXPANDED);

/** Follows llm-compressor's `MemorylessMSEObserver`: factors 1, 1 − 1/grid, …, `maxshrink · grid` of them. */
function mseObserver(kind: Kind, defaults: SearchDefaults): Observer {
  const search = (args: QuantizationArgs) =>
    parseSearch(args, defaults, (maxshrink, grid) => Math.trunc(maxshrink * grid));
  return { ...kind, search, observe: (weight, args, where) => searchRange(weight, args, where, search(args)) };
}

/** Follows llm-compressor's `IMatrixMSEObserver`: one factor more, errors in float32. */
function imatrixObserver(name: string, defaults: SearchDefaults): Observer {
  const search = (args: QuantizationArgs): RangeSearch => ({
    ...parseSearch(args, defaults, (maxshrink, grid) => Math.max(1, Math.trunc(maxshrink * grid)) + 1),
    errorDType: "F32",
  });
  return {
    name,
    needsImportance: true,
    search,
    observe: (weight, args, where, importance) =>
      searchRange(weight, args, where, search(args), importance && normalized(importance)),
    combine: combineLast,
  };
}

/** Importance relative to its mean; nothing where it tells no column from another. */
function normalized(importance: Float32Array): Float32Array | undefined {
  const mean = importance.reduce((sum, value) => sum + value, 0) / importance.length;
  return mean > 0 ? importance.map((value) => value / mean) : undefined;
}
