import { resolve } from "node:path";
import { checkPlace } from "../output/place.ts";
import type { RunControl } from "../sequential/events.ts";
import { exportModel } from "./export-model.ts";
import type { ExportSubject } from "./export-source.ts";
import { type ExportRequest, resolveFormats } from "./registry.ts";

/** The format that a run's output is in, whatever else is asked for. */
const OUTPUT_FORMAT = "compressed-tensors";

/** What a run that compresses is told of the formats that it exports to at its end. */
interface BesideOptions extends Partial<ExportRequest>, RunControl {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly verify?: boolean;
  readonly maxShardSize?: number;
}

/**
 * Refuses, before any work is done, exports that would fail at its end.
 *
 * @throws ConfigError as {@link ExportFormat.check} does
 */
export async function checkExports(subject: ExportSubject, options: Omit<BesideOptions, "output">): Promise<void> {
  const { maxShardSize, embeddingDtype } = options;
  for (const { format, dtypes } of requestedBeside(options))
    await format.check(subject, { name: subject.checkpoint.folder, dtypes, maxShardSize, embeddingDtype });
}

/** Refuses places of exports that are taken. @throws CheckpointError as {@link checkPlace} does */
export async function checkPlaces({
  output,
  overwrite,
  model: source,
  ...request
}: BesideOptions & { readonly model: string }): Promise<void> {
  for (const { format } of requestedBeside(request))
    await checkPlace(placeBeside(output, format.name), { overwrite, source });
}

/** Exports a run's finished output to the formats that are asked for, each in a folder beside it. */
export async function exportBeside({ output, ...options }: BesideOptions): Promise<void> {
  for (const { format, dtypes } of requestedBeside(options)) {
    const place = placeBeside(output, format.name);
    await exportModel({ ...options, model: output, format: [format.name], dtype: dtypes, output: place });
  }
}

function requestedBeside({ format = [], dtype, embeddingDtype }: Partial<ExportRequest>) {
  const others = format.filter((name) => name !== OUTPUT_FORMAT);
  return others.length === 0 ? [] : resolveFormats({ format: others, dtype, embeddingDtype });
}

function placeBeside(output: string, format: string): string {
  return `${resolve(output)}-${format}`;
}
