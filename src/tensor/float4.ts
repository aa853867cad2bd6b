/** The value of every float4 E2M1 pattern: bias 1, 1 fraction bit, no infinities, no NaN. */
export const FLOAT4_VALUES: Float32Array = Float32Array.of(
  0,
  0.5,
  1,
  1.5,
  2,
  3,
  4,
  6,
  -0,
  -0.5,
  -1,
  -1.5,
  -2,
  -3,
  -4,
  -6,
);

/** Rounds values to float4 E2M1 bits, half to even; what is too large becomes ±6, and a negative one that rounds to zero −0. */
export function float32ToFloat4(values: Float32Array, result: Uint8Array): void {
  for (let i = 0; i < values.length; i++) result[i] = encodeFloat4(values[i]);
}

/** The float4 E2M1 bits nearest to `value`; those of +0 for −0, as in compressed-tensors. */
export function encodeFloat4(value: number): number {
  const magnitude = Math.abs(value);
  // rounding half to even is on the code, so bounds belong to the even one in turns
  const code =
    Number(magnitude > 0.25) +
    Number(magnitude >= 0.75) +
    Number(magnitude > 1.25) +
    Number(magnitude >= 1.75) +
    Number(magnitude > 2.5) +
    Number(magnitude >= 3.5) +
    Number(magnitude > 5);
  return value < 0 ? code | 8 : code;
}

/** Packs codes two a byte, the first in the low half. There is an even number of them in each row. */
export function packFloat4(codes: Uint8Array): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(codes.length / 2);
  for (let i = 0; i < packed.length; i++) packed[i] = codes[2 * i] | (codes[2 * i + 1] << 4);
  return packed;
}

/** The codes that {@link packFloat4} packed. */
export function unpackFloat4(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(packed.length * 2);
  for (let i = 0; i < packed.length; i++) {
    codes[2 * i] = packed[i] & 0xf;
    codes[2 * i + 1] = packed[i] >>> 4;
  }
  return codes;
}
