import { readHalf } from "./blocks.ts";
import { specOf } from "./tensor-types.ts";

/** Types whose blocks are 256 neighbours of a row, with scales in a few bits under one in float16. */
export type KBlockType = "Q4_K" | "Q6_K";

/** Whether a type is one of these. */
export function isKBlockType(type: string | undefined): type is KBlockType {
  return type === "Q4_K" || type === "Q6_K";
}

/** Elements of a block. */
export const K_BLOCK = 256;

/** Of each type: codes that share a scale, and the largest whole number that a scale, or an offset, can be. */
export const K_SCALES = { Q4_K: { size: 32, largest: 63 }, Q6_K: { size: 16, largest: 127 } } as const;

/** Decodes blocks of a type to the values that they stand for. */
export function decodeKBlocks(type: KBlockType, packed: Uint8Array, result: Float32Array): void {
  const { bytes: size } = specOf(type);
  const decode = type === "Q4_K" ? decodeQ4K : decodeQ6K;
  for (let block = 0; block * K_BLOCK < result.length; block++)
    decode(packed.subarray(block * size, (block + 1) * size), result.subarray(block * K_BLOCK, (block + 1) * K_BLOCK));
}

/**
 * Q4_K: scale and minimum in float16, 12 bytes with 6 bits of a scale and 6 of a minimum for each of 8 groups, 128 bytes of codes:
 * of each 32 bytes the low halves are one group, the high ones the next. Value = d · scale · code − dmin · minimum.
 */
function decodeQ4K(block: Uint8Array, values: Float32Array): void {
  const [d, dmin] = [readHalf(block, 0), readHalf(block, 2)];
  for (let group = 0; group < 8; group++) {
    const [scale, minimum] = scalePair(block, group);
    const [step, offset] = [Math.fround(d * scale), Math.fround(dmin * minimum)];
    const [at, shift] = [16 + (group >> 1) * 32, (group & 1) * 4];
    for (let i = 0; i < 32; i++) values[group * 32 + i] = step * ((block[at + i] >>> shift) & 15) - offset;
  }
}

/** Six bits each: the first four groups' lie in a byte each, of the others' the upper two lie in what those leave free. */
function scalePair(block: Uint8Array, group: number): [scale: number, minimum: number] {
  const at = 4 + group;
  if (group < 4) return [block[at] & 63, block[at + 4] & 63];
  const low = block[at + 4];
  return [(low & 15) | ((block[at - 4] >>> 6) << 4), (low >>> 4) | ((block[at] >>> 6) << 4)];
}

/**
 * Q6_K: 128 bytes of the low 4 bits, 64 of the upper 2, a signed scale for each of 16 groups, one in float16 for all. Value =
 * d · scale · (code − 32). Each half of the block is 32 columns times 4 runs.
 */
function decodeQ6K(block: Uint8Array, values: Float32Array): void {
  const d = readHalf(block, 208);
  for (let i = 0; i < K_BLOCK; i++) {
    const [half, run, column] = [i >> 7, (i >> 5) & 3, i & 31];
    const low = (block[half * 64 + (run & 1) * 32 + column] >>> (run & 2 ? 4 : 0)) & 15;
    const high = (block[128 + half * 32 + column] >>> (2 * run)) & 3;
    const scale = (block[192 + (i >> 4)] << 24) >> 24;
    values[i] = Math.fround(d * scale) * ((low | (high << 4)) - 32);
  }
}
