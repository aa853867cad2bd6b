/** Of every `of` neighbouring weights of a row, the first of them at a multiple of `of`, `prune` become zero. */
export interface MaskStructure {
  readonly prune: number;
  readonly of: number;
}

/** Which weights become zero: 1 for each that does, in row-major order. */
export type Pruned = Uint8Array<ArrayBuffer>;

/** The N smallest scores of every M neighbours; of equal ones the first. Rows are a multiple of M. */
export function smallestOfRuns(scores: Float32Array, { prune, of }: MaskStructure): Pruned {
  const pruned = new Uint8Array(scores.length);
  for (let start = 0; start < scores.length; start += of) {
    for (let count = 0; count < prune; count++) {
      let smallest = -1;
      for (let at = start; at < start + of; at++) {
        if (pruned[at] === 0 && (smallest < 0 || scores[at] < scores[smallest])) smallest = at;
      }
      pruned[smallest] = 1;
    }
  }
  return pruned;
}

/** The `count` smallest scores of every row; of equal ones the first. */
export function smallestOfRows(scores: Float32Array, columns: number, count: number): Pruned {
  const pruned = new Uint8Array(scores.length);
  if (count === 0) return pruned;
  for (let start = 0; start < scores.length; start += columns) {
    const row = scores.subarray(start, start + columns);
    const threshold = kthSmallest(row, count - 1);
    let ties = count - countBelow(row, threshold);
    for (let column = 0; column < columns; column++) {
      if (row[column] < threshold || (row[column] === threshold && ties-- > 0)) pruned[start + column] = 1;
    }
  }
  return pruned;
}

/** All scores up to the k-th smallest, k from 0: at least k + 1 of them. */
export function upToKthSmallest(scores: Float32Array, k: number): Pruned {
  const threshold = kthSmallest(scores, k);
  const pruned = new Uint8Array(scores.length);
  for (let at = 0; at < scores.length; at++) pruned[at] = Number(scores[at] <= threshold);
  return pruned;
}

/** The k-th smallest of `values`, k from 0, by quickselect (Hoare 1961) on a copy. */
export function kthSmallest(values: Float32Array, k: number): number {
  const rest = values.slice();
  let [low, high] = [0, rest.length - 1];
  while (low < high) {
    const pivot = rest[(low + high) >> 1];
    let [left, right] = [low, high];
    while (left <= right) {
      while (rest[left] < pivot) left++;
      while (rest[right] > pivot) right--;
      if (left > right) break;
      const swapped = rest[left];
      rest[left++] = rest[right];
      rest[right--] = swapped;
    }
    if (k <= right) high = right;
    else if (k >= left) low = left;
    else break; // between the two, all are equal to the pivot
  }
  return rest[k];
}

function countBelow(values: Float32Array, threshold: number): number {
  let count = 0;
  for (const value of values) if (value < threshold) count++;
  return count;
}
