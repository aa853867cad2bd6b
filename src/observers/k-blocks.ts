import { K_BLOCK, K_SCALES } from "../gguf/k-blocks.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { codeTypeOf } from "../schemes/code-type.ts";
import type { Range } from "../schemes/qparams.ts";
import { forEachRun, tilingOf } from "../schemes/tiling.ts";
import { rounder } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { combineLast } from "./combine.ts";
import { finiteWeight } from "./finite-weight.ts";
import { errorOf, fitGrid, type Grid, type GridCodes, type WeighedGroup } from "./group-fit.ts";
import type { Observer } from "./observer.ts";

const half = rounder("F16");

/** This share of the mean importance is added to each, as GPTQ adds it to the Hessian's diagonal. */
const DAMPENING = 0.01;

/**
 * Ranges whose scales, and offsets, the blocks of Q4_K (asymmetric weights, `zpDtype` `torch.float32`) and Q6_K (symmetric ones) hold as
 * they are: whole multiples of one float16 number for 256 columns, the largest of them 63 or 127 times it. Each group's grid, and then its
 * multiples, have the smallest squared error, columns weighted by the mean square of their inputs. A row that is no whole blocks
 * has scales of any size.
 */
export const kBlockMse: Observer = {
  name: "k_block_mse",
  needsImportance: true,
  observe: kBlockRange,
  combine: combineLast,
};

function kBlockRange(
  weight: Tensor<FloatDType>,
  args: QuantizationArgs,
  where: string,
  importance?: Float32Array,
): Range {
  const { data } = finiteWeight(weight, where);
  const [tiling, columns, { min, max }] = [tilingOf(args, weight.shape, where), weight.shape[1], codeTypeOf(args)];
  const weights = damped(importance ?? new Float32Array(columns).fill(1));
  const codes: GridCodes = { levels: max - min, ...(args.symmetric && { zero: -min }) };
  const fitted: FittedGroup[] = [];
  forEachRun(tiling, weight.shape, (start, end) => {
    const at = start % columns;
    const group = { values: data.subarray(start, end), importance: weights.subarray(at, at + end - start) };
    fitted.push({ group, grid: fitGrid(group, codes) });
  });
  const perBlock = columns % K_BLOCK === 0 ? K_BLOCK / tiling.columns : 0;
  const range = { min: Tensor.zeros("F32", tiling.scaleShape), max: Tensor.zeros("F32", tiling.scaleShape) };
  for (let at = 0; at < fitted.length; at += Math.max(perBlock, 1)) {
    const grids = perBlock >= 1 ? fitBlock(fitted.slice(at, at + perBlock), codes) : [fitted[at].grid];
    for (const [index, grid] of grids.entries()) setRange(range, at + index, grid, codes);
  }
  return range;
}

/** A group, and the grid that suits it by itself. */
interface FittedGroup {
  readonly group: WeighedGroup;
  readonly grid: Grid;
}

/** Gives each group of a block those multiples next to its scale and its offset that suit it best. */
function fitBlock(block: readonly FittedGroup[], codes: GridCodes): Grid[] {
  const { levels, zero } = codes;
  const { largest } = zero === undefined ? K_SCALES.Q4_K : K_SCALES.Q6_K;
  const unit = half(Math.max(...block.map(({ grid }) => grid.scale)) / largest);
  const step = half(Math.max(...block.map(({ grid }) => grid.offset)) / largest);
  return block.map(({ group, grid }) => {
    const grids = multiplesNear(grid.scale, unit, 1, largest).flatMap((scale) => {
      const offsets = zero === undefined ? multiplesNear(grid.offset, step, 0, largest) : [zero * scale];
      return offsets.map((offset) => ({ scale, offset }));
    });
    const errors = grids.map((one) => errorOf(group, one, levels));
    return grids[errors.indexOf(Math.min(...errors))] ?? grid; // where all is zero, errors are no numbers
  });
}

/** The multiples of a unit to both sides of a value; of the value that the unit comes from, that one alone. */
function multiplesNear(value: number, unit: number, least: number, largest: number): number[] {
  if (unit === 0) return [value];
  const multiples =
    Math.round(value / unit) >= largest ? [largest] : [Math.floor(value / unit), Math.ceil(value / unit)];
  return multiples.map((multiple) => unit * Math.max(multiple, least));
}

/** The range that {@link computeQParams} makes this grid of. */
function setRange({ min, max }: Range, index: number, { scale, offset }: Grid, { levels, zero }: GridCodes): void {
  const low = zero === undefined ? offset : (levels / 2) * scale;
  min.data[index] = -low;
  max.data[index] = levels * scale - low;
}

function damped(importance: Float32Array): Float32Array {
  const mean = importance.reduce((sum, value) => sum + value, 0) / importance.length;
  return importance.map((value) => value + (mean > 0 ? DAMPENING * mean : 1));
}
