import { ConfigError } from "../../errors.ts";
import { type QuantizationArgs, zeroPointDType } from "../../schemes/arguments.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import { forEachRun, tilingOf } from "../../schemes/tiling.ts";
import { toFloat32 } from "../../tensor/convert.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** Where the scales of a weight allow any, as many columns share one: what WebGPU's kernels are fastest for. */
const DEFAULT_BLOCK = 32;
/** Blocks that MatMulNBits takes. */
const [SMALLEST_BLOCK, LARGEST_BLOCK] = [16, 128];

/** How the codes of a weight [rows, columns] are laid out for MatMulNBits and GatherBlockQuantized. */
export interface BlockLayout {
  readonly rows: number;
  readonly columns: number;
  /** 4, or 8 for codes of more than 4 bits. */
  readonly bits: 4 | 8;
  /** Columns that share a scale: a power of two. */
  readonly block: number;
  /** Blocks of a row, the last of which may be padded. */
  readonly blocks: number;
  /** Whether blocks have zero points beside scales. */
  readonly shifted: boolean;
}

/**
 * The layout that holds codes of `args` exactly: a block is as large as a group, or the largest power of two that divides it.
 *
 * @throws ConfigError for codes and zero points that are no integers, and for groups that no block divides
 */
export function blockLayout(args: QuantizationArgs, shape: readonly number[], where: string): BlockLayout {
  if (args.type !== "int") {
    throw new ConfigError(
      `${where}: float codes, expected integers of 8 bits or fewer. Choose a scheme such as W4A16.`,
    );
  }
  if (zeroPointDType(args) !== "I8") {
    throw new ConfigError(`${where}: zp_dtype ${args.zpDtype}, expected integers. Choose a scheme such as W4A16_ASYM.`);
  }
  const [rows, columns] = shape;
  const tile = tilingOf(args, shape, where).columns;
  const block = tile >= columns ? DEFAULT_BLOCK : Math.min(tile & -tile, LARGEST_BLOCK); // the lowest set bit
  if (block < SMALLEST_BLOCK) {
    throw new ConfigError(
      `${where}: groups of ${tile} columns, expected a multiple of ${SMALLEST_BLOCK}. Choose group_size 32, 64 or 128.`,
    );
  }
  const bits = args.numBits <= 4 ? 4 : 8;
  return { rows, columns, bits, block, blocks: Math.ceil(columns / block), shifted: !args.symmetric };
}

/** Codes, scales and zero points as the operators read them. */
export interface BlockCodes {
  /** U8[rows, blocks, block · bits / 8]: unsigned, of two in a byte the first in the low half. */
  readonly codes: Tensor<"U8">;
  /** F32[rows, blocks]. */
  readonly scales: Tensor<"F32">;
  /** U8[rows, ⌈blocks · bits / 8⌉], packed as the codes; without, zero is the middle of all codes. */
  readonly zeroPoints?: Tensor<"U8">;
}

/** Lays codes out in blocks: nothing is rounded, signed codes get 2^(bits−1) added. */
export function toBlocks({ codes, scale, zeroPoint, args }: QuantizedWeight, layout: BlockLayout): BlockCodes {
  const { rows, columns, bits, block, blocks } = layout;
  const middle = 2 ** (bits - 1);
  const unsigned = Tensor.zeros("U8", [rows, blocks * block]);
  unsigned.data.fill(middle);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      unsigned.data[row * blocks * block + column] = (codes.data[row * columns + column] as number) + middle;
    }
  }
  const scales = Tensor.zeros("F32", [rows, blocks]);
  const points = zeroPoint && Tensor.zeros("U8", [rows, blocks]);
  const stored = toFloat32(scale).data;
  forEachRun(tilingOf(args, codes.shape), codes.shape, (start, end, index) => {
    const row = Math.floor(start / columns);
    const [first, last] = [start - row * columns, end - row * columns].map((column) => Math.ceil(column / block));
    scales.data.fill(stored[index], row * blocks + first, row * blocks + last);
    points?.data.fill((zeroPoint?.data[index] ?? 0) + middle, row * blocks + first, row * blocks + last);
  });
  return {
    codes: packRows(unsigned, bits).reshape([rows, blocks, (block * bits) / 8]),
    scales,
    ...(points && { zeroPoints: packRows(points, bits) }),
  };
}

/** Puts two codes of 4 bits into each byte, the first in its low half; a row begins with a byte of its own. */
function packRows(codes: Tensor<"U8">, bits: 4 | 8): Tensor<"U8"> {
  if (bits === 8) return codes;
  const [rows, columns] = codes.shape;
  const width = Math.ceil(columns / 2);
  const packed = Tensor.zeros("U8", [rows, width]);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      packed.data[row * width + (column >> 1)] |= codes.data[row * columns + column] << (4 * (column & 1));
    }
  }
  return packed;
}
