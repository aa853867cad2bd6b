import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../../errors.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { dequantizeWeight, type QuantizedWeight } from "../../schemes/quantize.ts";
import { completeScheme } from "../../schemes/scheme.ts";
import { scaleShape } from "../../schemes/tiling.ts";
import { elementCount, Tensor } from "../../tensor/tensor.ts";
import { type BlockCodes, type BlockLayout, blockLayout, toBlocks } from "./block-codes.ts";

test("blocks decode to what the codes stand for, whatever their bits, groups and zero points", () => {
  fc.assert(
    fc.property(weights, (quantized) => {
      const layout = blockLayout(quantized.args, quantized.codes.shape, "weight");
      expect(decode(toBlocks(quantized, layout), layout)).toEqual([...dequantizeWeight(quantized).data]);
    }),
  );
});

test("of two codes in a byte the first lies in the low half, and code −8 is 0", () => {
  const args = argsOf({ numBits: 4, strategy: "channel" });
  const codes = new Tensor(
    "I8",
    [1, 32],
    Int8Array.from({ length: 32 }, (_, column) => (column % 16) - 8),
  );
  const quantized = { codes, scale: new Tensor("F32", [1, 1], Float32Array.of(0.5)), args };
  const blocks = toBlocks(quantized, blockLayout(args, codes.shape, "weight"));
  expect([...blocks.codes.data.subarray(0, 8)]).toEqual([0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe]);
  expect(blocks.codes.shape).toEqual([1, 1, 16]);
  expect([...blocks.scales.data]).toEqual([0.5]);
  expect(blocks.zeroPoints).toBeUndefined();
});

test.each<[given: Partial<QuantizationArgs>, columns: number, block: number, bits: number]>([
  [{ numBits: 4, strategy: "group", groupSize: 32 }, 128, 32, 4],
  [{ numBits: 4, strategy: "group", groupSize: 128 }, 256, 128, 4],
  [{ numBits: 3, strategy: "group", groupSize: 96 }, 192, 32, 4],
  [{ numBits: 5, strategy: "group", groupSize: 64 }, 192, 64, 8],
  [{ numBits: 8, strategy: "channel" }, 100, 32, 8],
])("codes of %j over %i columns lie in blocks of %i, %i bits each", (given, columns, block, bits) => {
  expect(blockLayout(argsOf(given), [8, columns], "weight")).toMatchObject({ block, bits });
});

test("groups that no block divides are refused with sizes that would do", () => {
  const args = argsOf({ numBits: 4, strategy: "group", groupSize: 24 });
  expect(() => blockLayout(args, [8, 48], "model.layers.0.mlp.up_proj")).toThrow(
    new ConfigError(
      "model.layers.0.mlp.up_proj: groups of 24 columns, expected a multiple of 16. Choose group_size 32, 64 or 128.",
    ),
  );
});

test("float codes are refused", () => {
  const args = argsOf({ numBits: 8, type: "float", strategy: "channel" });
  expect(() => blockLayout(args, [8, 64], "lm_head")).toThrow(
    new ConfigError("lm_head: float codes, expected integers of 8 bits or fewer. Choose a scheme such as W4A16."),
  );
});

function argsOf(weights: Partial<QuantizationArgs>): QuantizationArgs {
  const args = completeScheme({ targets: [], weights: { type: "int", symmetric: true, ...weights } }).weights;
  return args as QuantizationArgs;
}

/** Random weights: some rows, columns in groups or under one scale, and codes over all of their range. */
const weights: fc.Arbitrary<QuantizedWeight> = fc
  .record({
    numBits: fc.integer({ min: 2, max: 8 }),
    symmetric: fc.boolean(),
    grouping: fc.constantFrom("channel", "tensor", 16, 32, 48, 128),
    rows: fc.integer({ min: 1, max: 3 }),
    groups: fc.integer({ min: 1, max: 3 }),
    rest: fc.integer({ min: 0, max: 20 }),
    seed: fc.integer(),
  })
  .map(({ numBits, symmetric, grouping, rows, groups, rest, seed }) => {
    const isGrouped = typeof grouping === "number";
    const args = argsOf(
      isGrouped
        ? { numBits, symmetric, strategy: "group", groupSize: grouping }
        : { numBits, symmetric, strategy: grouping as "channel" },
    );
    const shape = [rows, isGrouped ? grouping * groups : 32 * groups + rest];
    const half = 2 ** (numBits - 1);
    let state = seed;
    const next = (count: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state >>> 8) % count;
    };
    const fill = (of: readonly number[]) =>
      new Tensor(
        "I8",
        of,
        Int8Array.from({ length: elementCount(of) }, () => next(2 * half) - half),
      );
    const scales = scaleShape(args, shape);
    const scale = new Tensor(
      "F32",
      scales,
      Float32Array.from({ length: elementCount(scales) }, () => (1 + next(100)) / 64),
    );
    return { codes: fill(shape), scale, args, ...(!symmetric && { zeroPoint: fill(scales) }) };
  });

/** (code − zero point) · scale, as MatMulNBits has it. */
function decode(
  { codes, scales, zeroPoints }: BlockCodes,
  { rows, columns, bits, block, blocks }: BlockLayout,
): number[] {
  const at = (packed: Uint8Array, width: number, row: number, index: number) => {
    if (bits === 8) return packed[row * width + index];
    return (packed[row * width + (index >> 1)] >> (4 * (index & 1))) & 15;
  };
  const pointBytes = Math.ceil((blocks * bits) / 8);
  return Array.from({ length: rows * columns }, (_, element) => {
    const [row, column] = [Math.floor(element / columns), element % columns];
    const group = Math.floor(column / block);
    const code = at(codes.data, (blocks * block * bits) / 8, row, column);
    const zero = zeroPoints ? at(zeroPoints.data, pointBytes, row, group) : 2 ** (bits - 1);
    return Math.fround((code - zero) * scales.data[row * blocks + group]) + 0;
  });
}

test("zero points in float32 are refused", () => {
  const args = argsOf({ numBits: 4, groupSize: 32, symmetric: false, zpDtype: "torch.float32" });
  expect(() => blockLayout(args, [8, 64], "lm_head")).toThrow(
    "lm_head: zp_dtype torch.float32, expected integers. Choose a scheme such as W4A16_ASYM.",
  );
});
