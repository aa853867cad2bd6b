import { mkdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { OutputFolder } from "../output/output-folder.ts";
import type { RunControl } from "../sequential/events.ts";
import { ExportSource } from "./export-source.ts";
import { type ExportRequest, type RequestedFormat, resolveFormats } from "./registry.ts";

/** Arguments of {@link exportModel}. */
export interface ExportOptions extends ExportRequest, RunControl {
  /** A checkpoint's folder, compressed or dense, or a Hub id. */
  readonly model: string;
  /** The folder that the files appear in; several formats have a folder each below it. */
  readonly output: string;
  /** Replaces an output folder that exists. False. */
  readonly overwrite?: boolean;
  /** Reads back what was written before it appears, where the format can. True. */
  readonly verify?: boolean;
  /** Bytes of weights in one file; more are split over several. */
  readonly maxShardSize?: number;
}

/**
 * Writes a checkpoint in formats of other runtimes. Codes, scales and zero points of quantized weights are carried over as they
 * are; the output folder appears whole or not at all.
 *
 * @throws ConfigError where a format cannot carry the checkpoint's scheme, with the scheme to choose
 * @example
 * await exportModel({ model: "SmolLM2-135M-W4A16", format: ["gguf"], output: "SmolLM2-135M-GGUF" });
 */
export async function exportModel(options: ExportOptions): Promise<void> {
  const { model, output, overwrite } = options;
  const requested = resolveFormats(options);
  const source = await ExportSource.open(model);
  try {
    const settings = ({ dtypes }: RequestedFormat) => ({ ...options, name: basename(resolve(model)), dtypes });
    for (const request of requested) await request.format.check(source, settings(request));
    const folder = await OutputFolder.open({ folder: output, overwrite, source: model });
    try {
      for (const request of requested) {
        const place = requested.length === 1 ? folder.content : join(folder.content, request.format.name);
        await mkdir(place, { recursive: true });
        await request.format.write(source, place, settings(request));
      }
      await folder.finish();
    } catch (error) {
      throw await folder.abandon(error);
    }
  } finally {
    await source.close();
  }
}
