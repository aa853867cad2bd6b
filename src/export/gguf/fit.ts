import { BLOCK, type BlockCodes, type BlockType } from "../../gguf/blocks.ts";
import { rounder } from "../../tensor/convert.ts";
import { roundHalfToEven } from "../../tensor/rounding.ts";

const half = rounder("F16");

/** Rounds dense values to blocks of a type, each scale as float16 stores it. */
export function roundToBlocks(type: BlockType, values: Float32Array): BlockCodes {
  const blocks = values.length / BLOCK;
  const result = {
    codes: new Int8Array(values.length),
    scales: new Float32Array(blocks),
    minima: type === "Q4_1" ? new Float32Array(blocks) : undefined,
  };
  const round = ROUND[type];
  for (let block = 0; block < blocks; block++) round(values, block, result);
  return result;
}

type RoundBlock = (values: Float32Array, block: number, result: BlockCodes) => void;

const ROUND: Readonly<Record<BlockType, RoundBlock>> = {
  Q8_0(values, block, result) {
    encode(values, block, result, {
      scale: half(Math.abs(extreme(values, block)) / 127),
      minimum: 0,
      min: -127,
      max: 127,
    });
  },
  Q4_0(values, block, result) {
    // The extreme value takes the code −8, the one code that has no opposite.
    encode(values, block, result, { scale: half(extreme(values, block) / -8), minimum: 0, min: -8, max: 7 });
  },
  Q4_1(values, block, result) {
    const [low, high] = range(values, block);
    const [scale, minimum] = [half((high - low) / 15), half(low)];
    if (result.minima) result.minima[block] = minimum;
    encode(values, block, result, { scale, minimum: minimum + 8 * scale, min: -8, max: 7 });
  },
};

interface Grid {
  readonly scale: number;
  /** The value of code 0. */
  readonly minimum: number;
  readonly min: number;
  readonly max: number;
}

function encode(values: Float32Array, block: number, { codes, scales }: BlockCodes, grid: Grid): void {
  const { scale, minimum, min, max } = grid;
  scales[block] = scale;
  if (scale === 0) return;
  for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
    codes[i] = Math.min(Math.max(roundHalfToEven((values[i] - minimum) / scale), min), max);
  }
}

/** The value of a block that is farthest from zero. */
function extreme(values: Float32Array, block: number): number {
  let result = 0;
  for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++)
    if (Math.abs(values[i]) > Math.abs(result)) result = values[i];
  return result;
}

function range(values: Float32Array, block: number): [low: number, high: number] {
  let [low, high] = [0, 0];
  for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}
