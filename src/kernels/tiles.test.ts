import fc from "fast-check";
import { expect, test } from "vitest";
import { randomValues } from "../../test/gptq-reference.ts";
import { decodePlainly, encodePlainly } from "../../test/plain-codes.ts";
import { rounder } from "../tensor/convert.ts";
import { squaredDistance } from "../tensor/difference.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import {
  type CodeKind,
  decodeTiles,
  encodeTiles,
  squaredDistanceToTiles,
  type Tiles,
  tabulatePowers,
  tileErrors,
  tileExtremes,
} from "./tiles.ts";

const RANGES: Readonly<Record<CodeKind, readonly [number, number]>> = {
  integer: [-8, 7],
  float8: [-448, 448],
  float4: [-6, 6],
};

/** Matrices of any small shape, and some larger than what is worked on at a time, in tiles of any size. */
const matrices = fc.record({
  rows: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 100, max: 300 })),
  columns: fc.oneof(fc.integer({ min: 1, max: 21 }), fc.integer({ min: 90, max: 130 })),
  tileRows: fc.integer({ min: 1, max: 40 }),
  tileColumns: fc.integer({ min: 1, max: 40 }),
});
const kinds = fc.constantFrom<CodeKind>("integer", "float8", "float4");
const dtypes = fc.constantFrom<FloatDType>("F32", "BF16", "F16");

const tilesInRow = ({ columns, tileColumns }: Tiles) => Math.ceil(columns / tileColumns);
const tileCount = (tiles: Tiles) => Math.ceil(tiles.rows / tiles.tileRows) * tilesInRow(tiles);
const tileOf = (tiles: Tiles, at: number) =>
  Math.floor(at / tiles.columns / tiles.tileRows) * tilesInRow(tiles) +
  Math.floor((at % tiles.columns) / tiles.tileColumns);

test("minima and maxima are those of each tile", () => {
  fc.assert(
    fc.property(matrices, fc.nat(), (tiles, seed) => {
      const x = randomValues(tiles.rows * tiles.columns, seed);
      const [low, high] = [new Float32Array(tileCount(tiles)).fill(0.5), new Float32Array(tileCount(tiles)).fill(0.5)];
      const [smallest, largest] = [low.slice(), high.slice()];
      for (const [at, value] of x.entries()) {
        const tile = tileOf(tiles, at);
        smallest[tile] = Math.min(smallest[tile], value);
        largest[tile] = Math.max(largest[tile], value);
      }
      tileExtremes(new Tensor("F32", [x.length], Float32Array.from(x)), tiles, low, high);
      expect([low, high]).toEqual([smallest, largest]);
    }),
  );
});

test.each([0, 3, 4, 8])("a NaN at place %i of a run makes its minimum and maximum NaN, and no other", (place) => {
  const x = new Float32Array(18).fill(1);
  x[place] = Number.NaN;
  const [low, high] = [Float32Array.of(1, 1), Float32Array.of(1, 1)];
  tileExtremes(new Tensor("F32", [x.length], x), { rows: 2, columns: 9, tileRows: 1, tileColumns: 9 }, low, high);
  expect([...low, ...high]).toEqual([Number.NaN, 1, Number.NaN, 1]);
});

test("codes, and what they stand for, are those of plain arithmetic, bit for bit", () => {
  fc.assert(
    fc.property(matrices, kinds, dtypes, fc.boolean(), fc.nat(), (tiles, kind, dtype, isShifted, seed) => {
      const rd = rounder(dtype);
      const range = RANGES[kind];
      const scale = randomValues(tileCount(tiles), seed + 1).map((value) => rd(Math.abs(value) / range[1]) || rd(0.1));
      const zeroPoint = scale.map((_, tile) => (isShifted && kind === "integer" ? (tile % 16) - 8 : 0));
      const x = randomValues(tiles.rows * tiles.columns, seed).map((value, at) => (at % 7 === 0 ? 0 : rd(value)));
      const codes = new Uint8Array(x.length);
      encodeTiles(x, tiles, { scale, zeroPoint, dtype }, kind, range, codes);
      const decoded = new Float32Array(x.length);
      decodeTiles(codes, tiles, { scale, zeroPoint, dtype }, kind, decoded);
      const plain = Array.from(x, (_, at) => tileOf(tiles, at)).map((tile) => ({
        kind,
        dtype,
        range,
        scale: scale[tile],
        zeroPoint: zeroPoint[tile],
      }));
      expect(codes).toEqual(Uint8Array.from(x, (value, at) => encodePlainly(value, plain[at])));
      expect(decoded).toEqual(Float32Array.from(codes, (code, at) => decodePlainly(code, plain[at])));
      const distance = squaredDistanceToTiles(x, codes, tiles, { scale, zeroPoint, dtype }, kind);
      expect(distance).toBeCloseTo(squaredDistance(x, decoded), 6);
    }),
  );
});

test("errors of tiles are sums of powers of what rounding changes, each column by its importance", () => {
  const norms = fc.constantFrom(2, 2.4, 3);
  const wide = fc.constantFrom(1, 30); // some elements far beyond the codes
  fc.assert(
    fc.property(
      matrices,
      kinds,
      dtypes,
      norms,
      wide,
      fc.boolean(),
      fc.nat(),
      (tiles, kind, dtype, norm, by, own, seed) => {
        const [rd, errorDType] = [rounder(dtype), own ? dtype : "F32"];
        const scale = randomValues(tileCount(tiles), seed + 1).map(
          (value) => rd(Math.abs(value) / RANGES[kind][1]) || rd(0.1),
        );
        const zeroPoint = new Float32Array(scale.length);
        const x = randomValues(tiles.rows * tiles.columns, seed).map((value) => rd(value * by));
        const importance = own ? undefined : randomValues(tiles.columns, seed + 2).map(Math.abs);
        const expected = new Float64Array(scale.length);
        for (const [at, value] of x.entries()) {
          const tile = tileOf(tiles, at);
          const plain = { kind, dtype, range: RANGES[kind], scale: scale[tile], zeroPoint: 0 };
          const error = rounder(errorDType)(decodePlainly(encodePlainly(value, plain), plain) - value);
          const power = rounder(errorDType)(Math.abs(error) ** norm);
          expected[tile] += power * (importance?.[at % tiles.columns] ?? 1);
        }
        const measure = { norm, powers: tabulatePowers(norm), dtype: errorDType, units: scale, importance } as const;
        const found = tileErrors(x, tiles, { scale, zeroPoint, dtype }, kind, RANGES[kind], measure);
        const tolerance = { F32: 1e-5, BF16: 1e-2, F16: 2e-3 }[errorDType];
        for (const [tile, error] of found.entries())
          expect(Math.abs(error - expected[tile])).toBeLessThanOrEqual(tolerance * expected[tile] + 1e-6);
      },
    ),
  );
});

test("a term of a tile's error is rounded to the dtype that errors are computed in", () => {
  const tiles = { rows: 1, columns: 1, tileRows: 1, tileColumns: 1 };
  const scales = { scale: Float32Array.of(4), zeroPoint: Float32Array.of(0), dtype: "BF16" } as const;
  const measure = { norm: 2, powers: tabulatePowers(2), dtype: "BF16", units: Float32Array.of(1) } as const;
  const found = tileErrors(Float32Array.of(1.0078125), tiles, scales, "integer", [-8, 7], measure);
  expect([...found]).toEqual([1.015625]); // 1.0078125², rounded to BF16
});

test.each(["integer", "float8", "float4"] as const)("every %s code of one byte is decoded as plainly", (kind) => {
  const codes = Uint8Array.from({ length: kind === "float4" ? 16 : 256 }, (_, code) => code);
  const tiles = { rows: 1, columns: codes.length, tileRows: 1, tileColumns: codes.length };
  const x = new Float32Array(codes.length);
  for (const dtype of ["F32", "BF16", "F16"] as const) {
    decodeTiles(codes, tiles, { scale: Float32Array.of(0.3), zeroPoint: Float32Array.of(0), dtype }, kind, x);
    const plain = { kind, dtype, scale: Math.fround(0.3), zeroPoint: 0, range: RANGES[kind] };
    expect(x).toEqual(Float32Array.from(codes, (code) => decodePlainly(code, plain)));
  }
});

test.each([
  [[-128.4, -0.5, 1.5, 2.5, Number.POSITIVE_INFINITY, Number.NaN], "integer", [-128, 127], [0x80, 0, 2, 2, 127, 0]],
  [[-448, 0.001, 17, 19, -0.00001, 1000], "float8", [-448, 448], [0xfe, 1, 0x58, 0x5a, 0x80, 0x7e]],
  [[-6, 0.25, 2.5, 5, -0.25, -0], "float4", [-6, 6], [15, 0, 4, 6, 8, 0]],
] as const)("%j become %s codes from %j, half to even", (values, kind, range, expected) => {
  const codes = new Uint8Array(values.length);
  const tiles = { rows: 1, columns: values.length, tileRows: 1, tileColumns: values.length };
  const scales = { scale: Float32Array.of(1), zeroPoint: Float32Array.of(0), dtype: "F32" as const };
  encodeTiles(Float32Array.from(values), tiles, scales, kind, range, codes);
  expect([...codes]).toEqual(expected);
});
