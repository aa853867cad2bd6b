import { RecipeError } from "../../errors.ts";
import type { MaskStructure } from "../../kernels/select.ts";
import { misfit, parseMaskStructure } from "./mask-structure.ts";

/** Blocks of a weight that are pruned as a whole; of one row and one column where there is no structure. */
interface BlockStructure {
  readonly rows: number;
  readonly columns: number;
}

/** What magnitude pruning prunes together. */
export type MagnitudeStructure = BlockStructure | MaskStructure;

/**
 * Reads `unstructured`, `block_R,C` or `N:M`.
 *
 * @throws RecipeError for other text, also for the reference's `channel` and `filter`, which are for convolutions; `where`
 *   names the field
 */
export function parseMagnitudeStructure(text: string, where: string): MagnitudeStructure {
  const single = { rows: 1, columns: 1 };
  if (text === "unstructured") return single;
  if (text.includes(":")) return parseMaskStructure(text, where) ?? single;
  const [, rows, columns] = /^block_(\d{1,9}),\s*(\d{1,9})$/.exec(text)?.map(Number) ?? [];
  if (rows > 0 && columns > 0) return { rows, columns };
  throw new RecipeError(`${where}: ${JSON.stringify(text)}, expected unstructured, block_R,C or N:M.`);
}

/** Why a weight does not fit a structure, if it does not. */
export function misfitOf(structure: MagnitudeStructure, [rows, columns]: readonly number[], path: string): string[] {
  if ("of" in structure) {
    const problem = misfit(structure, columns);
    return problem ? [`${path}: ${problem}`] : [];
  }
  if (rows % structure.rows === 0 && columns % structure.columns === 0) return [];
  return [
    `${path}: a weight of [${rows}, ${columns}], expected multiples of [${structure.rows}, ${structure.columns}]. ` +
      "Change mask_structure or add the module to ignore.",
  ];
}

/** The sum of each block, row of blocks by row of blocks. */
export function sumBlocks(values: Float32Array, columns: number, block: BlockStructure): Float32Array {
  const across = columns / block.columns;
  const sums = new Float32Array(values.length / (block.rows * block.columns));
  for (let at = 0; at < values.length; at++) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    sums[Math.floor(row / block.rows) * across + Math.floor(column / block.columns)] += values[at];
  }
  return sums;
}
