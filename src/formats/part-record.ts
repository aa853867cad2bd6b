import { z } from "zod";
import type { ModuleReport } from "../modifiers/modifier.ts";
import type { Statistic } from "../modifiers/tap.ts";
import { Tensor } from "../tensor/tensor.ts";

const digests = z.array(z.tuple([z.string(), z.string()]));
/** A number where there is one: JSON has no infinity. */
const finite = z
  .number()
  .nullish()
  .transform((value) => value ?? undefined);
const report = z
  .object({
    module: z.string(),
    error: finite,
    errorInDecibels: finite,
    fallback: z.string().optional(),
    seconds: z.number(),
  })
  .transform((report): ModuleReport => report);

/** What the journal holds of one finished part. */
export const partSchema = z.object({
  index: z.int(),
  /** Digests of the tensors of the output, by name. */
  tensors: digests,
  /** Parameters of which later parts run with other values than the output's: the checkpoint's, or those in a file. */
  unsaved: z.array(z.object({ path: z.string(), stored: z.boolean() })),
  /** Digest of that file. */
  weights: z.string().optional(),
  /** Digest of the file with what was seen of modules that later parts call again. */
  statistics: z.string().optional(),
  reports: z.array(z.array(report)),
  warnings: z.array(z.string()),
});

/** What the journal holds of one finished part, parsed. */
export type PartRecord = z.output<typeof partSchema>;

/** Marks the number of sequences that a statistic beside it has seen. */
const SEQUENCES = "#sequences";

/** Statistics as the tensors of a file. */
export function packStatistics(statistics: ReadonlyMap<string, Statistic>): Map<string, Tensor> {
  return new Map(
    [...statistics].flatMap(([name, { value, sequences }]): [string, Tensor][] => [
      [name, value],
      [name + SEQUENCES, new Tensor("I64", [1], BigInt64Array.of(BigInt(sequences)))],
    ]),
  );
}

/** The inverse of {@link packStatistics}. */
export function unpackStatistics(tensors: ReadonlyMap<string, Tensor>): Map<string, Statistic> {
  const values = [...tensors].filter(([name]) => !name.endsWith(SEQUENCES));
  return new Map(
    values.map(([name, value]) => {
      const sequences = Number(tensors.get(name + SEQUENCES)?.data[0]);
      return [name, { value: value as Tensor<"F32">, sequences }];
    }),
  );
}
