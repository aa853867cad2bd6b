import { toFloat16, writeHalf } from "./blocks.ts";
import { K_BLOCK, type KBlockType } from "./k-blocks.ts";
import { specOf } from "./tensor-types.ts";

/** Weights as integers whose scales are integers too: value = d · scale · code − dmin · minimum, each block with its d and dmin. */
export interface KBlockCodes {
  /** From 0 to 15 for Q4_K, from −32 to 31 for Q6_K; one a byte. */
  readonly codes: Int8Array;
  /** One for each block; what is stored is the nearest float16. */
  readonly d: Float32Array;
  /** One for each group of 32 (Q4_K, 0 to 63) or 16 (Q6_K, −128 to 127) codes. */
  readonly scales: Int8Array;
  /** For Q4_K: one for each block. */
  readonly dmin?: Float32Array;
  /** For Q4_K: one for each group, 0 to 63. */
  readonly minima?: Int8Array;
}

/** Packs codes and scales as a type stores them: see {@link decodeKBlocks} for the layouts. */
export function packKBlocks(type: KBlockType, weight: KBlockCodes): Uint8Array {
  const { bytes: size } = specOf(type);
  const packed = new Uint8Array(weight.d.length * size);
  const pack = type === "Q4_K" ? packQ4K : packQ6K;
  for (let block = 0; block < weight.d.length; block++)
    pack(weight, block, packed.subarray(block * size, (block + 1) * size));
  return packed;
}

function packQ4K({ codes, d, scales, dmin, minima }: KBlockCodes, block: number, packed: Uint8Array): void {
  writeHalf(packed, 0, halfOf(d[block]));
  writeHalf(packed, 2, halfOf(dmin?.[block] ?? 0));
  for (let group = 0; group < 8; group++) {
    packScalePair(packed, group, scales[block * 8 + group], minima?.[block * 8 + group] ?? 0);
    const [at, shift, start] = [16 + (group >> 1) * 32, (group & 1) * 4, block * K_BLOCK + group * 32];
    for (let i = 0; i < 32; i++) packed[at + i] |= codes[start + i] << shift;
  }
}

/** Six bits each: of the last four groups', the upper two bits lie above those of the first four. */
function packScalePair(packed: Uint8Array, group: number, scale: number, minimum: number): void {
  const at = 4 + group;
  if (group < 4) {
    packed[at] |= scale;
    packed[at + 4] |= minimum;
    return;
  }
  packed[at + 4] |= (scale & 15) | ((minimum & 15) << 4);
  packed[at - 4] |= (scale >> 4) << 6;
  packed[at] |= (minimum >> 4) << 6;
}

function packQ6K({ codes, d, scales }: KBlockCodes, block: number, packed: Uint8Array): void {
  writeHalf(packed, 208, halfOf(d[block]));
  for (let group = 0; group < 16; group++) packed[192 + group] = scales[block * 16 + group];
  for (let i = 0; i < K_BLOCK; i++) {
    const [half, run, column] = [i >> 7, (i >> 5) & 3, i & 31];
    const code = codes[block * K_BLOCK + i] + 32;
    packed[half * 64 + (run & 1) * 32 + column] |= (code & 15) << (run & 2 ? 4 : 0);
    packed[128 + half * 32 + column] |= (code >> 4) << (2 * run);
  }
}

function halfOf(value: number): number {
  return toFloat16(Float32Array.of(value))[0];
}
