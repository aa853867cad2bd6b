import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BlockType, packBlocks } from "./blocks.ts";
import { decodeTensor } from "./decode-tensor.ts";
import { packKBlocks } from "./pack-k-blocks.ts";
import type { TensorType } from "./tensor-types.ts";

interface Case {
  readonly type: TensorType;
  readonly blocks: string;
  readonly values: string;
}

const cases = JSON.parse(
  readFileSync(new URL("../../test/fixtures/gguf/blocks.json", import.meta.url), "utf8"),
) as Case[];

test.each(cases)("blocks of $type decode to the values of the reference", ({ type, blocks, values }) => {
  const expected = new Float32Array(Uint8Array.from(Buffer.from(values, "base64")).buffer);
  const decoded = decodeTensor(type, [1, expected.length], Buffer.from(blocks, "base64"));
  expect(withoutNegativeZeros(decoded.data)).toEqual(withoutNegativeZeros(expected));
});

test.each<BlockType>(["Q4_0", "Q4_1", "Q8_0"])("what is packed as %s decodes to scale · code + minimum", (type) => {
  const half = type === "Q8_0" ? 128 : 8;
  const codes = fc.int8Array({ minLength: 64, maxLength: 64, min: -half, max: half - 1 });
  const steps = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 2, maxLength: 2 });
  fc.assert(
    fc.property(codes, steps, steps, (codes, scales, minima) => {
      const isShifted = type === "Q4_1";
      const block = {
        codes,
        scales: Float32Array.from(scales, (step) => step / 1024),
        minima: isShifted ? Float32Array.from(minima, (step) => step / 1024) : undefined,
      };
      const { data } = decodeTensor(type, [2, 32], packBlocks(type, block));
      const expected = Float32Array.from(codes, (code, i) => {
        const [scale, minimum] = [block.scales[i >> 5], block.minima?.[i >> 5] ?? 0];
        return scale * (isShifted ? code + 8 : code) + minimum;
      });
      expect(withoutNegativeZeros(data)).toEqual(withoutNegativeZeros(expected));
    }),
  );
});

test.each([
  ["Q4_K", 8, 0, 15, 0, 63],
  ["Q6_K", 16, -32, 31, -128, 127],
] as const)(
  "what is packed as %s decodes to d · scale · code − dmin · minimum",
  (type, groups, low, high, least, most) => {
    const codes = fc.int8Array({ minLength: 512, maxLength: 512, min: low, max: high });
    const integers = fc.int8Array({ minLength: 2 * groups, maxLength: 2 * groups, min: least, max: most });
    fc.assert(
      fc.property(codes, integers, integers, (codes, scales, minima) => {
        const [d, dmin] = [Float32Array.of(0.5, 2), Float32Array.of(4, 0.25)];
        const { data } = decodeTensor(type, [2, 256], packKBlocks(type, { codes, d, scales, dmin, minima }));
        const expected = Float32Array.from(codes, (code, i) => {
          const group = Math.floor((i * groups) / 256);
          return d[i >> 8] * scales[group] * code - (type === "Q4_K" ? dmin[i >> 8] * minima[group] : 0);
        });
        expect(withoutNegativeZeros(data)).toEqual(withoutNegativeZeros(expected));
      }),
    );
  },
);

function withoutNegativeZeros(values: Float32Array): number[] {
  return Array.from(values, (value) => value + 0);
}
