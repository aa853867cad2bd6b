import { DataError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Checks that every token has an embedding.
 *
 * @param name - what messages call the data
 * @param batches - `input_ids`: I64[batch, seq]
 * @param vocabularySize - tokens that the model knows, the first of them 0
 * @throws DataError for the first that has none
 */
export function checkTokens(
  name: string,
  batches: readonly Readonly<{ input_ids: Tensor<"I64"> }>[],
  vocabularySize: number,
): void {
  for (const { input_ids } of batches) {
    const unknown = input_ids.data.find((id) => id < 0 || id >= vocabularySize);
    if (unknown === undefined) continue;
    throw new DataError(
      `${name}: token ${unknown}, expected 0 to ${vocabularySize - 1}, as the model's vocab_size is ${vocabularySize}. ` +
        "Check that it was tokenized for this model.",
    );
  }
}
