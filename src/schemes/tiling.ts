import { RecipeError, ShapeError } from "../errors.ts";
import type { Tiles } from "../kernels/tiles.ts";
import type { QuantizationArgs, Strategy } from "./arguments.ts";

/** Rows (outputs) and columns (inputs) of a weight. */
export type MatrixShape = readonly [rows: number, columns: number];

/** How the scales of a strategy cover a weight: each one a tile of `rows` × `columns` elements, cut at the edges. */
export interface Tiling {
  readonly rows: number;
  readonly columns: number;
  /** Shape of the stored scale; its elements are the tiles, row-major. */
  readonly scaleShape: readonly number[];
}

type Tile = (args: QuantizationArgs, shape: MatrixShape, where: string) => Tiling;

const TILES: Partial<Record<Strategy, Tile>> = {
  tensor: (_, [rows, columns]) => ({ rows, columns, scaleShape: [1] }),
  channel: (_, [rows, columns]) => ({ rows: 1, columns, scaleShape: [rows, 1] }),
  group: tileGroups,
  tensor_group: tileGroups,
  block: ({ blockStructure }, [rows, columns]) => {
    const [height, width] = blockStructure as readonly [number, number]; // there wherever the strategy is block
    return { rows: height, columns: width, scaleShape: [Math.ceil(rows / height), Math.ceil(columns / width)] };
  },
};

function tileGroups({ groupSize }: QuantizationArgs, [rows, columns]: MatrixShape, where: string): Tiling {
  const size = groupSize as number; // positive wherever the strategy has groups
  if (columns % size !== 0) throw new RecipeError(`${where}: ${indivisible(columns, size)}`);
  return { rows: 1, columns: size, scaleShape: [rows, columns / size] };
}

/**
 * The tiles that share a scale in a weight of this shape; `where` names the module in errors.
 *
 * @throws RecipeError if the strategy is not one for weights, or its groups do not divide the columns.
 */
export function tilingOf(args: QuantizationArgs, shape: readonly number[], where = "weight"): Tiling {
  const tile = TILES[args.strategy];
  if (!tile) {
    const supported = Object.keys(TILES).join(", ");
    throw new RecipeError(
      `${where}: strategy ${args.strategy} is not supported for weights, expected one of ${supported}.`,
    );
  }
  return tile(args, expectMatrix(shape, where), where);
}

/** Shape of the scale, and of the zero point, of a weight of this shape. */
export function scaleShape(args: QuantizationArgs, shape: readonly number[], where?: string): readonly number[] {
  return tilingOf(args, shape, where).scaleShape;
}

/** The tiles of a weight of this shape, as kernels take them. */
export function tilesOf({ rows, columns }: Tiling, shape: readonly number[]): Tiles {
  return { rows: shape[0], columns: shape[1], tileRows: rows, tileColumns: columns };
}

/**
 * Calls `visit` for every run of neighbouring elements under one scale: elements `start` to `end` (excluded) of the
 * row-major weight belong to scale number `index`.
 */
export function forEachRun(
  { rows: tileRows, columns: tileColumns }: Tiling,
  [rows, columns]: readonly number[],
  visit: (start: number, end: number, index: number) => void,
): void {
  const tilesPerRow = Math.ceil(columns / tileColumns);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(row / tileRows) * tilesPerRow;
    const rowEnd = (row + 1) * columns;
    for (let tile = 0, start = row * columns; tile < tilesPerRow; tile++, start += tileColumns) {
      visit(start, Math.min(start + tileColumns, rowEnd), first + tile);
    }
  }
}

function expectMatrix(shape: readonly number[], where: string): MatrixShape {
  if (shape.length !== 2) throw new ShapeError(`${where}: shape [${shape.join(", ")}], expected two dimensions.`);
  return [shape[0], shape[1]];
}

function indivisible(columns: number, groupSize: number): string {
  const nearest = nearestDivisors(columns, groupSize).join(" or ");
  return `${columns} columns, expected a multiple of group_size ${groupSize}. Change group_size (${nearest} would do) or add it to ignore.`;
}

/** The largest divisor of `value` below `near`, and the smallest one above, as far as there are any. */
function nearestDivisors(value: number, near: number): number[] {
  const divisors = Array.from({ length: value }, (_, index) => index + 1).filter((divisor) => value % divisor === 0);
  const [below, above] = [divisors.findLast((divisor) => divisor < near), divisors.find((divisor) => divisor > near)];
  return [below, above].filter((divisor) => divisor !== undefined);
}
