import { RecipeError } from "../../errors.ts";
import { RotationFactory } from "./hadamard.ts";
import { MersenneTwister } from "./mersenne-twister.ts";

/** What all rotating modifiers can be told. */
export interface RotationOptions {
  /** "random-hadamard" multiplies a Hadamard matrix by random signs, the same ones in every run. */
  readonly transformType?: "hadamard" | "random-hadamard";
  /** Columns that are rotated together, each such block by the same matrix; all columns by default. */
  readonly transformBlockSize?: number;
}

/** Makes the rotations of one scheme; as in the reference, each scheme begins the random signs anew. */
export function rotationFactory(type: RotationOptions["transformType"]): RotationFactory {
  return new RotationFactory(type === "random-hadamard" ? new MersenneTwister() : undefined);
}

/**
 * Columns of a block of a value with `width` columns.
 *
 * @throws RecipeError if blocks do not fill the width
 */
export function blockSize(where: string, width: number, { transformBlockSize: size = width }: RotationOptions): number {
  if (width % size === 0) return size;
  throw new RecipeError(`${where}: ${width} columns, expected a multiple of transform_block_size ${size}. Change it.`);
}
