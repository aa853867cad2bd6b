import { stat } from "node:fs/promises";
import { CheckpointError, LayerwiseError } from "../errors.ts";
import { isGgufPath } from "./gguf-file.ts";
import { type DownloadProgress, downloadSnapshot } from "./snapshot.ts";

/** What {@link resolveModel} may be told. */
export interface ResolveOptions {
  /** A branch, tag or commit of a Hub repository; its main branch unless told. */
  readonly revision?: string;
  /** Called before each file that is downloaded. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** How a repository is brought to disk; returns its folder. */
  readonly download?: typeof downloadSnapshot;
}

/** `organisation/name`, as the Hub spells its models. */
const HUB_ID = /^\w[\w.-]*\/\w[\w.-]*$/;

/**
 * The folder of a model: `model` itself if it is one, else a download of the Hub repository of that id, kept in the usual
 * cache.
 *
 * @throws CheckpointError if it is neither
 * @example
 * const checkpoint = await openCheckpoint(await resolveModel("HuggingFaceTB/SmolLM2-135M"));
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  const { revision = "main", onProgress, download = downloadSnapshot } = options;
  const entry = await stat(model).catch(() => undefined);
  if (entry?.isDirectory() || (entry && isGgufPath(model))) return model;
  if (entry)
    throw new CheckpointError(
      `${model}: a file, expected a checkpoint's folder or a GGUF file. Name the folder that it is in.`,
    );
  if (!HUB_ID.test(model)) {
    throw new CheckpointError(
      `${model}: no such folder, expected a checkpoint's folder or a Hub id like organisation/name. Check the path.`,
    );
  }
  return download(model, { revision, onProgress }).catch((cause) => {
    if (cause instanceof LayerwiseError) throw cause;
    throw new CheckpointError(
      `${model}: no such folder, and no download of ${model} at ${revision} from the Hub (${describe(cause)}), expected one of them. Check the name and the network.`,
      { cause },
    );
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
