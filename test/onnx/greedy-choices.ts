import { ExportSource } from "../../src/export/export-source.ts";
import { simulateActivations } from "../../src/formats/simulate-activations.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { runWhole } from "../run-model.ts";

/** What our evaluation finds likeliest after a token. */
interface GreedyChoice {
  readonly token: number;
  /** How far its logit is above another token's. */
  lead(other: number): number;
}

/** For each of some tokens the one that our evaluation of a checkpoint finds likeliest to follow. */
export async function greedyChoices(folder: string, tokens: readonly number[]): Promise<GreedyChoice[]> {
  const { data, shape } = await logitsOf(folder, tokens);
  return tokens.map((_, position) => {
    const row = data.subarray(position * shape[2], (position + 1) * shape[2]);
    const token = row.indexOf(row.reduce((max, value) => Math.max(max, value)));
    return { token, lead: (other: number) => row[token] - row[other] };
  });
}

/** Logits F32[1, tokens, vocabulary] of a checkpoint's model, with inputs rounded as a runtime does. */
export async function logitsOf(folder: string, tokens: readonly number[]): Promise<Tensor<"F32">> {
  const source = await ExportSource.open(folder);
  try {
    simulateActivations(source.model, source.checkpoint);
    const input_ids = new Tensor("I64", [1, tokens.length], BigInt64Array.from(tokens, BigInt));
    return (await runWhole(source.model, { input_ids })) as Tensor<"F32">;
  } finally {
    await source.close();
  }
}

/** Where a generated text leaves our choices for the first time, and by how much ours was ahead there. */
interface Departure {
  /** Tokens behind the prompt before it. */
  readonly after: number;
  readonly lead: number;
}

/** Compares tokens that were generated behind a prompt with our choices; undefined where all are the same. */
export function departureOf(
  choices: readonly GreedyChoice[],
  tokens: readonly number[],
  promptLength: number,
): Departure | undefined {
  const place = tokens.findIndex((token, index) => index >= promptLength && choices[index - 1].token !== token);
  return place < 0 ? undefined : { after: place - promptLength, lead: choices[place - 1].lead(tokens[place]) };
}
