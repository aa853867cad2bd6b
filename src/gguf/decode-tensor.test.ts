import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BlockType, packBlocks } from "./blocks.ts";
import { decodeTensor } from "./decode-tensor.ts";
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

function withoutNegativeZeros(values: Float32Array): number[] {
  return Array.from(values, (value) => value + 0);
}
