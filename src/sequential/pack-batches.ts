import { concatenateRows } from "../tensor/concatenate.ts";
import { type Batch, checkBatches } from "./intermediates.ts";

/** Tokens in one run: enough for matrix products at full speed, few enough for what a run computes to stay in the cache. */
const TOKENS_PER_RUN = 1024;

/**
 * Puts neighbouring batches of equal length together, so that one run does more work. Sums over all batches, and so what
 * is calibrated, stay the same up to rounding. Masks that hide nothing in any batch are left out.
 *
 * @throws DataError naming a batch that has other keys than the first
 */
export function packBatches(batches: readonly Batch[], tokensPerRun = TOKENS_PER_RUN): Batch[] {
  checkBatches(batches);
  const needed = batches.every(seesEveryToken) ? batches.map(withoutMask) : batches;
  const groups: Batch[][] = [];
  for (const batch of needed) {
    const group = groups.at(-1);
    const tokens = tokensIn(batch) + (group?.reduce((sum, member) => sum + tokensIn(member), 0) ?? 0);
    if (group && lengthOf(group[0]) === lengthOf(batch) && tokens <= tokensPerRun) group.push(batch);
    else groups.push([batch]);
  }
  return groups.map(joinBatches);
}

/** Whether a batch has a mask that hides nothing: attention is faster without. */
function seesEveryToken({ attention_mask: mask }: Batch): boolean {
  return mask?.is("I64") === true && mask.data.every((entry) => entry === 1n);
}

function withoutMask({ attention_mask, ...batch }: Batch): Batch {
  return batch;
}

function joinBatches(group: readonly Batch[]): Batch {
  if (group.length === 1) return group[0];
  const names = Object.keys(group[0]);
  return Object.fromEntries(names.map((name) => [name, concatenateRows(group.map((batch) => batch[name]))]));
}

function lengthOf(batch: Batch): number {
  return Object.values(batch)[0].shape[1];
}

/** Rows times length of a batch. */
export function tokensIn(batch: Batch): number {
  const [rows, length] = Object.values(batch)[0].shape;
  return rows * length;
}
