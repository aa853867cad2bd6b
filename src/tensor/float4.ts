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

/** The codes of bytes that hold two each, the first in the low half. */
export function unpackFloat4(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(packed.length * 2);
  for (let i = 0; i < packed.length; i++) {
    codes[2 * i] = packed[i] & 0xf;
    codes[2 * i + 1] = packed[i] >>> 4;
  }
  return codes;
}
