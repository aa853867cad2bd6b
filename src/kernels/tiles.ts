import { toFloat32 } from "../tensor/convert.ts";
import { squaredDistance } from "../tensor/difference.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { copyIn, copyOut, local, PIECE, reserve } from "../wasm/local-memory.ts";

/** A row-major matrix, and the tiles of `tileRows` × `tileColumns` elements, cut at its edges, that share a number each. */
export interface Tiles {
  readonly rows: number;
  readonly columns: number;
  readonly tileRows: number;
  readonly tileColumns: number;
}

/** What turns the elements of each tile into numbers of codes and back. */
export interface TileScales {
  /** One a tile, row by row. */
  readonly scale: Float32Array;
  /** One a tile. */
  readonly zeroPoint: Float32Array;
  /** Each operation is rounded to it. */
  readonly dtype: FloatDType;
}

/** How numbers become codes of one byte, half to even. */
export type CodeKind = "integer" | "float8" | "float4";

/** What the kernels call them. */
const DTYPES: Readonly<Record<FloatDType, number>> = { F32: 0, BF16: 1, F16: 2 };
const KINDS: Readonly<Record<CodeKind, number>> = { integer: 0, float8: 1, float4: 2 };

/**
 * Takes the elements of each tile into a minimum and a maximum; both are NaN where one is.
 *
 * @param smallest - one a tile: where the minima begin
 * @param largest - one a tile
 */
export function tileExtremes(x: Tensor<FloatDType>, tiles: Tiles, smallest: Float32Array, largest: Float32Array): void {
  for (const { elements, tilesOf, arguments: shape } of pieces(tiles)) {
    const values = toFloat32(new Tensor(x.dtype, [elements.length], elements.in(x.data)));
    const [from, low, high] = reserve(4 * elements.length, 4 * tilesOf.length, 4 * tilesOf.length);
    const [minima, maxima] = [smallest, largest].map((all) => tilesOf.in(all));
    copyIn(from, values.data);
    copyIn(low, minima);
    copyIn(high, maxima);
    local.tileExtremes(from, low, high, ...shape);
    copyOut(low, minima);
    copyOut(high, maxima);
  }
}

/** Codes of x: clamp(x / scale + zeroPoint) to `range`, rounded. */
export function encodeTiles(
  x: Float32Array,
  tiles: Tiles,
  { scale, zeroPoint, dtype }: TileScales,
  kind: CodeKind,
  range: readonly [lowest: number, highest: number],
  codes: Int8Array | Uint8Array,
): void {
  for (const { elements, tilesOf, arguments: shape } of pieces(tiles)) {
    const [from, to, scales, zeros] = reserve(
      4 * elements.length,
      elements.length,
      4 * tilesOf.length,
      4 * tilesOf.length,
    );
    copyIn(from, elements.in(x));
    copyIn(scales, tilesOf.in(scale));
    copyIn(zeros, tilesOf.in(zeroPoint));
    local.encodeTiles(from, to, scales, zeros, ...shape, DTYPES[dtype], KINDS[kind], ...range);
    copyOut(to, elements.in(codes));
  }
}

/** What codes stand for: (number − zeroPoint) · scale. */
export function decodeTiles(
  codes: Int8Array | Uint8Array,
  tiles: Tiles,
  scales: TileScales,
  kind: CodeKind,
  x: Float32Array,
): void {
  for (const [elements, decoded] of decodedPieces(codes, tiles, scales, kind)) copyOut(decoded, elements.in(x));
}

/** Σ (x − what the codes stand for)², without all of the latter at one time. */
export function squaredDistanceToTiles(
  x: Float32Array,
  codes: Int8Array | Uint8Array,
  tiles: Tiles,
  scales: TileScales,
  kind: CodeKind,
): number {
  let [sum, values] = [0, new Float32Array()];
  for (const [elements, decoded] of decodedPieces(codes, tiles, scales, kind)) {
    if (values.length !== elements.length) values = new Float32Array(elements.length);
    copyOut(decoded, values);
    sum += squaredDistance(elements.in(x), values);
  }
  return sum;
}

/** How errors are weighed that a search over scales compares. */
export interface ErrorMeasure {
  /** Exponent of the errors that are summed up. */
  readonly norm: number;
  /** What {@link tabulatePowers} makes of it. */
  readonly powers: Float64Array;
  /** Each term is rounded to it. */
  readonly dtype: FloatDType;
  /** About the size of a step between codes, one a tile: powers are the more exact the better it fits. */
  readonly units: Float32Array;
  /** One a column. */
  readonly importance?: Float32Array;
}

/** Errors are tabulated up to so many units, in so many steps for each; the kernel has the same numbers. */
const [UNITS, STEPS] = [4, 4096];

/** 2^norm, then the powers of tabulated errors. */
export function tabulatePowers(norm: number): Float64Array {
  return Float64Array.from({ length: UNITS * STEPS + 3 }, (_, at) => (at === 0 ? 2 : (at - 1) / STEPS) ** norm);
}

/** Σ |Q(x) − x|^norm · importance of each tile, with its elements rounded to the codes of `range`. */
export function tileErrors(
  x: Float32Array,
  tiles: Tiles,
  { scale, zeroPoint, dtype }: TileScales,
  kind: CodeKind,
  range: readonly [lowest: number, highest: number],
  { norm, powers, dtype: errorDType, units, importance }: ErrorMeasure,
): Float64Array {
  const errors = new Float64Array(scale.length);
  for (const { elements, tilesOf, arguments: shape } of pieces(tiles)) {
    const count = tilesOf.length;
    const sizes = [
      4 * elements.length,
      4 * tiles.columns,
      4 * count,
      4 * count,
      16 * count,
      powers.byteLength,
      8 * count,
    ];
    const [from, weights, scales, zeros, unitsAt, powersAt, to] = reserve(...sizes);
    copyIn(from, elements.in(x));
    if (importance) copyIn(weights, importance);
    copyIn(scales, tilesOf.in(scale));
    copyIn(zeros, tilesOf.in(zeroPoint));
    const own = Float64Array.from(tilesOf.in(units));
    copyIn(unitsAt, own);
    copyIn(
      unitsAt + 8 * count,
      own.map((unit) => unit ** norm),
    );
    copyIn(powersAt, powers);
    copyIn(to, tilesOf.in(errors));
    const tables = [from, importance ? weights : 0, scales, zeros, unitsAt, powersAt, to];
    local.tileErrors(...tables, ...shape, count, DTYPES[dtype], DTYPES[errorDType], KINDS[kind], ...range, norm);
    copyOut(to, tilesOf.in(errors));
  }
  return errors;
}

/** Decodes some rows after others; each is gone, at its address, once the next is asked for. */
function* decodedPieces(
  codes: Int8Array | Uint8Array,
  tiles: Tiles,
  { scale, zeroPoint, dtype }: TileScales,
  kind: CodeKind,
): Generator<readonly [elements: Span, address: number]> {
  for (const { elements, tilesOf, arguments: shape } of pieces(tiles)) {
    const [from, to, scales, zeros] = reserve(
      elements.length,
      4 * elements.length,
      4 * tilesOf.length,
      4 * tilesOf.length,
    );
    copyIn(from, elements.in(codes));
    copyIn(scales, tilesOf.in(scale));
    copyIn(zeros, tilesOf.in(zeroPoint));
    local.decodeTiles(from, to, scales, zeros, ...shape, DTYPES[dtype], KINDS[kind]);
    yield [elements, to];
  }
}

/** Neighbours in an array. */
class Span {
  constructor(
    private readonly start: number,
    private readonly end: number,
  ) {}

  get length(): number {
    return this.end - this.start;
  }

  in<T extends Float32Array | Float64Array | Int8Array | Uint8Array | Uint16Array>(values: T): T {
    return values.subarray(this.start, this.end) as T;
  }
}

/** Some rows of a matrix, their tiles, and how the kernels are told of them. */
interface Piece {
  readonly elements: Span;
  readonly tilesOf: Span;
  /** Rows that the first tile has above, rows, columns, and the size of a tile. */
  readonly arguments: readonly [phase: number, rows: number, columns: number, tileRows: number, tileColumns: number];
}

/** A matrix in pieces of whole rows. */
function* pieces({ rows, columns, tileRows, tileColumns }: Tiles): Generator<Piece> {
  const [height, tilesInRow] = [Math.max(1, Math.floor(PIECE / columns)), Math.ceil(columns / tileColumns)];
  for (let start = 0; start < rows; start += height) {
    const end = Math.min(start + height, rows);
    const [first, last] = [Math.floor(start / tileRows), Math.floor((end - 1) / tileRows)];
    yield {
      elements: new Span(start * columns, end * columns),
      tilesOf: new Span(first * tilesInRow, (last + 1) * tilesInRow),
      arguments: [start - first * tileRows, end - start, columns, tileRows, tileColumns],
    };
  }
}
