import { RecipeError } from "../../errors.ts";
import type { MaskStructure } from "../../kernels/select.ts";

/**
 * Reads `N:M`: N of every M neighbouring weights are pruned. `0:0` is null, no structure at all.
 *
 * @throws RecipeError for other text; `where` names the field
 */
export function parseMaskStructure(text: string, where: string): MaskStructure | null {
  const [, prune, of] = /^(\d{1,9}):(\d{1,9})$/.exec(text)?.map(Number) ?? [];
  if (prune === 0 && of === 0) return null;
  if (prune > 0 && prune < of) return { prune, of };
  throw new RecipeError(
    `${where}: ${JSON.stringify(text)}, expected N:M with N from 1 to M − 1, such as 2:4, or 0:0 for none.`,
  );
}

/** Why a weight of `columns` columns does not fit a structure; undefined if it does. */
export function misfit({ of }: MaskStructure, columns: number): string | undefined {
  if (columns % of === 0) return undefined;
  return `${columns} columns, expected a multiple of ${of}, the M of mask_structure. Change it or add the module to ignore.`;
}
