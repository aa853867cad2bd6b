import { decodeFloat16, float32ToFloat16 } from "../tensor/float16.ts";
import { specOf } from "./tensor-types.ts";

/** Types whose blocks are 32 neighbours of a row under one scale. */
export type BlockType = "Q4_0" | "Q4_1" | "Q8_0";

/** Elements of a block. */
export const BLOCK = 32;

/** Weights as integers: element = scale · (code) + minimum of its block, where codes of 4 bits count from −8. */
export interface BlockCodes {
  /** Signed codes, one a byte. */
  readonly codes: Int8Array;
  /** One for each block; what is stored is the nearest float16. */
  readonly scales: Float32Array;
  /** What is added in each block, for Q4_1: the value of code −8. */
  readonly minima?: Float32Array;
}

/** Packs codes and scales as a type stores them. */
export function packBlocks(type: BlockType, { codes, scales, minima }: BlockCodes): Uint8Array {
  const { bytes: size } = specOf(type);
  const packed = new Uint8Array(scales.length * size);
  const [scaleBits, minimumBits] = [toFloat16(scales), minima && toFloat16(minima)];
  for (let block = 0; block < scales.length; block++) {
    let at = block * size;
    const start = block * BLOCK;
    at = writeHalf(packed, at, scaleBits[block]);
    if (minimumBits) at = writeHalf(packed, at, minimumBits[block]);
    if (type === "Q8_0") packed.set(bytesOfCodes(codes, start), at);
    else packNibbles(codes, start, packed, at);
  }
  return packed;
}

/** Decodes blocks of a type to the values that they stand for. */
export function decodeBlocks(type: BlockType, packed: Uint8Array, result: Float32Array): void {
  const { bytes: size } = specOf(type);
  for (let block = 0; block * BLOCK < result.length; block++) {
    const [at, start] = [block * size, block * BLOCK];
    const scale = readHalf(packed, at);
    if (type === "Q8_0") {
      for (let i = 0; i < BLOCK; i++) result[start + i] = scale * ((packed[at + 2 + i] << 24) >> 24);
    } else {
      const minimum = type === "Q4_1" ? readHalf(packed, at + 2) : -8 * scale;
      decodeNibbles(packed, at + size - BLOCK / 2, scale, minimum, result, start);
    }
  }
}

/** The value of the float16 at byte `at`. */
export function readHalf(bytes: Uint8Array, at: number): number {
  return decodeFloat16(bytes[at] | (bytes[at + 1] << 8));
}

/** Stores float16 bits at byte `at`; returns where the next value goes. */
export function writeHalf(bytes: Uint8Array, at: number, bits: number): number {
  bytes[at] = bits & 0xff;
  bytes[at + 1] = bits >>> 8;
  return at + 2;
}

/** Float16 bits of each value. */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  float32ToFloat16(values, bits);
  return bits;
}

/** The first half of a block lies in the low halves of its bytes, the second in the high ones. */
function packNibbles(codes: Int8Array, start: number, packed: Uint8Array, at: number): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    packed[at + i] = (codes[start + i] + 8) | ((codes[start + BLOCK / 2 + i] + 8) << 4);
  }
}

function decodeNibbles(
  packed: Uint8Array,
  at: number,
  scale: number,
  minimum: number,
  result: Float32Array,
  start: number,
): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    result[start + i] = scale * (packed[at + i] & 15) + minimum;
    result[start + BLOCK / 2 + i] = scale * (packed[at + i] >>> 4) + minimum;
  }
}

function bytesOfCodes(codes: Int8Array, start: number): Uint8Array {
  return new Uint8Array(codes.buffer, codes.byteOffset + start, BLOCK);
}
