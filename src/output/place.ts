import { lstat, readdir, realpath } from "node:fs/promises";
import { isAbsolute, relative, sep } from "node:path";
import { CheckpointError, ignore } from "../errors.ts";

/** What may become of that which lies where an output is to appear. */
export interface PlaceOptions {
  /** Replaces a folder that exists, at the very end. */
  readonly overwrite?: boolean;
  /** The folder or file that the output is made of: it is never replaced. */
  readonly source?: string;
}

/**
 * Checks that an output may appear at `path`. An empty folder there will be deleted, and with `overwrite` any folder, or the
 * link to one: so neither the source nor the working directory may lie in it.
 *
 * @throws CheckpointError for what may not be replaced; without `overwrite`, for all but an empty folder
 */
export async function checkPlace(path: string, { overwrite = false, source }: PlaceOptions): Promise<void> {
  const found = await lstat(path).catch(ignore("ENOENT"));
  if (!found) return;
  const isEmpty = found.isDirectory() && (await readdir(path)).length === 0;
  if (!overwrite && !isEmpty) {
    throw new CheckpointError(
      `${path}: exists already, expected a new or empty folder. Choose another output, or pass --overwrite.`,
    );
  }
  if (found.isFile()) {
    throw new CheckpointError(`${path}: a file, expected a folder or nothing. Choose another output.`);
  }
  for (const kept of [source, process.cwd()]) {
    if (found.isDirectory() && kept !== undefined && (await liesIn(path, kept))) {
      throw new CheckpointError(
        `${path}: to replace it would delete ${kept}, expected a folder apart from that. Choose another output.`,
      );
    }
  }
}

/** Whether something that exists is a folder, or lies in it, links followed. */
async function liesIn(folder: string, path: string): Promise<boolean> {
  const target = await realpath(path).catch(ignore("ENOENT", "ENOTDIR")); // an id of the Hub is no path
  if (target === undefined) return false;
  const below = relative(await realpath(folder), target);
  return below !== ".." && !below.startsWith(`..${sep}`) && !isAbsolute(below);
}
