import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Bits of the fraction of each dtype, and a mask of its sign and exponent. */
const LAYOUT: Readonly<Record<FloatDType, { readonly fraction: number; readonly mask: number }>> = {
  F32: { fraction: 23, mask: 0xff800000 },
  BF16: { fraction: 7, mask: 0xff80 },
  F16: { fraction: 10, mask: 0xfc00 },
};

/** Exponent of the largest power of two that a code of so many bits holds: 4 for E2M1, 256 for E4M3. */
const LARGEST: Readonly<Record<number, number>> = { 4: 2, 8: 8 };

/**
 * Scales of MXFP4 and MXFP8: amax, rounded to a power of two (up from 1.75 on), over the largest power of two of a code;
 * 2^−127 to 2^128. Follows `generate_mx_scales`, which adds a quarter of a binade to the bits and drops the fraction.
 *
 * @param amax - largest magnitudes
 * @param dtype - dtype in whose bits the power is found
 */
export function microscales(amax: Tensor<"F32">, numBits: number, dtype: FloatDType): Tensor<"F32"> {
  const { fraction, mask } = LAYOUT[dtype];
  const rounded = fromFloat32(amax, dtype);
  const bits = dtype === "F32" ? new Uint32Array(amax.data.slice().buffer) : (rounded.data as Uint16Array).slice();
  for (let i = 0; i < bits.length; i++) bits[i] = (bits[i] + (1 << (fraction - 2))) & mask;
  const data = dtype === "F32" ? new Float32Array(bits.buffer) : (bits as Uint16Array<ArrayBuffer>);
  const powers = toFloat32(new Tensor(dtype, amax.shape, data as never));
  const exponents = encodeExponents(powers).data;
  return decodeExponents(
    new Tensor(
      "U8",
      amax.shape,
      exponents.map((exponent) => Math.max(exponent - LARGEST[numBits], 0)),
    ),
  );
}

/** Powers of two as E8M0 bytes: exponent + 127. */
export function encodeExponents({ shape, data }: Tensor<"F32">): Tensor<"U8"> {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  return new Tensor(
    "U8",
    shape,
    Uint8Array.from(words, (word) => word >>> 23),
  );
}

/** The powers of two that E8M0 bytes stand for. */
export function decodeExponents({ shape, data }: Tensor<"U8">): Tensor<"F32"> {
  return new Tensor(
    "F32",
    shape,
    Float32Array.from(data, (exponent) => 2 ** (exponent - 127)),
  );
}
