import { expect, test } from "vitest";
import { DataError } from "../errors.ts";
import { toTensor } from "./batches.ts";
import { checkTokens } from "./check-tokens.ts";

const batch = (...rows: number[][]) => ({ input_ids: toTensor(rows) });

test("the first and the last token of a vocabulary pass", () => {
  expect(() => checkTokens("data", [batch([0, 9]), batch([9], [0])], 10)).not.toThrow();
});

test.each([10, -1, 2 ** 40])("token %i of a vocabulary of ten is refused, in whichever batch", (token) => {
  expect(() => checkTokens("texts.jsonl", [batch([1]), batch([1, 2], [token, 3])], 10)).toThrow(
    new DataError(
      `texts.jsonl: token ${token}, expected 0 to 9, as the model's vocab_size is 10. ` +
        "Check that it was tokenized for this model.",
    ),
  );
});
