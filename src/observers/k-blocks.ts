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
 * Ranges whose scales the blocks of Q4_K (asymmetric weights) and Q6_K (symmetric ones) hold as they are: whole multiples of one
 * float16 number for 256 columns, the largest of them 63 or 127 times it. Each group's grid, and then its multiple, has the smallest
 * squared error, columns weighted by the mean square of their inputs; what an offset of Q4_K, a multiple too, is away from zero
 * point times scale counts in that. A row that is no whole blocks has scales of any size.
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
  const groups: WeighedGroup[] = [];
  forEachRun(tiling, weight.shape, (start, end) => {
    const at = start % columns;
    groups.push({ values: data.subarray(start, end), importance: weights.subarray(at, at + end - start) });
  });
  const codes: GridCodes = { levels: max - min, zeros: args.symmetric ? [-min, -min] : [0, max - min] };
  const grids = groups.map((group) => fitGrid(group, codes));
  const perBlock = columns % K_BLOCK === 0 ? K_BLOCK / tiling.columns : 0;
  const fitBlock = args.symmetric ? fitScales : fitScalesAndOffsets;
  for (let at = 0; perBlock >= 1 && at < groups.length; at += perBlock) {
    const block = groups.slice(at, at + perBlock).map((group, index) => ({ group, grid: grids[at + index], codes }));
    grids.splice(at, perBlock, ...fitBlock(block, args.symmetric ? K_SCALES.Q6_K.largest : K_SCALES.Q4_K.largest));
  }
  return rangesOf(grids, args, tiling.scaleShape);
}

/** A group of a block, and the grid that suits it by itself. */
interface FittedGroup {
  readonly group: WeighedGroup;
  readonly grid: Grid;
  readonly codes: GridCodes;
}

/** Gives each group of a block the multiple next to its scale that suits it better. */
function fitScales(block: readonly FittedGroup[], largest: number): Grid[] {
  const unit = half(Math.max(...block.map(({ grid }) => grid.scale)) / largest);
  if (unit === 0) return block.map(({ grid }) => grid);
  return block.map(({ group, grid, codes }) => {
    const grids = multiplesNear(grid.scale / unit, largest).map((multiple) => ({ ...grid, scale: unit * multiple }));
    return smallest(grids, (one) => errorOf(group, one, codes));
  });
}

/** That, and then the zero point and the multiple whose offset is near one of the block's. */
function fitScalesAndOffsets(block: readonly FittedGroup[], largest: number): Grid[] {
  const grids = fitScales(block, largest);
  const unit = half(Math.max(...block.map(({ grid }) => grid.scale)) / largest);
  const most = Math.max(...grids.map(offsetOf));
  const step = half(most / largest);
  if (unit === 0 || step === 0) return grids;
  return block.map(({ group, grid, codes }, index) => {
    if (offsetOf(grids[index]) === most) return grids[index]; // the step comes from it
    const others = multiplesNear(grid.scale / unit, largest).flatMap((multiple) =>
      [-1, 0, 1].map((change) => ({ scale: unit * multiple, zero: grids[index].zero + change })),
    );
    const possible = others.filter((one) => one.zero >= 0 && one.zero <= codes.levels && offsetOf(one) <= most);
    const stored = (one: Grid) => step * Math.min(Math.round(offsetOf(one) / step), largest);
    return smallest([grids[index], ...possible], (one) => errorOf(group, one, codes, stored(one)));
  });
}

/** The whole numbers to both sides of a quotient, from 1 to the largest, which the block's unit comes from. */
function multiplesNear(quotient: number, largest: number): number[] {
  if (Math.round(quotient) >= largest) return [largest];
  return [Math.floor(quotient), Math.ceil(quotient)].map((multiple) => Math.min(Math.max(multiple, 1), largest));
}

function offsetOf({ scale, zero }: Grid): number {
  return scale * zero;
}

function smallest(grids: readonly Grid[], errorOf: (grid: Grid) => number): Grid {
  let [best, least] = [grids[0], errorOf(grids[0])];
  for (const grid of grids.slice(1)) {
    const error = errorOf(grid);
    if (error < least) [best, least] = [grid, error];
  }
  return best;
}

/** What {@link computeQParams} takes for these grids. */
function rangesOf(grids: readonly Grid[], args: QuantizationArgs, shape: readonly number[]): Range {
  const [range, { min, max }] = [
    { min: Tensor.zeros("F32", shape), max: Tensor.zeros("F32", shape) },
    codeTypeOf(args),
  ];
  for (const [index, { scale, zero }] of grids.entries()) {
    const low = args.symmetric ? (max - min) / 2 : zero;
    range.min.data[index] = -low * scale;
    range.max.data[index] = (max - min - low) * scale;
  }
  return range;
}

function damped(importance: Float32Array): Float32Array {
  const mean = importance.reduce((sum, value) => sum + value, 0) / importance.length;
  return importance.map((value) => value + (mean > 0 ? DAMPENING * mean : 1));
}
