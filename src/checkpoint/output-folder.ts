import { mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError } from "../errors.ts";

/** Where an output will be, and where it is until it is whole. */
export interface OutputFolder {
  readonly folder: string;
  readonly partial: string;
  /** Whether what is there already may go. */
  readonly overwrite: boolean;
}

/** Creates the partial folder, empty. @throws CheckpointError where it exists or the output does, unless `overwrite` */
export async function createPartial({ folder, partial, overwrite }: OutputFolder): Promise<void> {
  if (overwrite) await rm(partial, { recursive: true, force: true });
  else await checkVacant(folder);
  await mkdir(dirname(partial), { recursive: true });
  await mkdir(partial).catch((cause) => {
    if (!hasCode(cause, "EEXIST")) throw cause;
    throw new CheckpointError(
      `${partial}: exists already, expected none. Another run is writing there or was stopped: delete it, or pass --overwrite.`,
      { cause },
    );
  });
}

/**
 * Moves the partial folder into place. What it replaces is moved aside first and deleted last, so that at any moment one of
 * the two is whole.
 */
export async function moveIntoPlace({ folder, partial, overwrite }: OutputFolder): Promise<void> {
  await syncFolder(partial);
  const replaced = `${folder}.replaced`;
  if (overwrite) {
    await rm(replaced, { recursive: true, force: true });
    await rename(folder, replaced).catch(ignore("ENOENT"));
  } else {
    await rmdir(folder).catch(ignore("ENOENT", "ENOTEMPTY", "EEXIST", "ENOTDIR"));
  }
  await rename(partial, folder).catch((cause) => {
    throw new CheckpointError(
      `${folder}: cannot be created, expected a free place. The output is in ${partial}: move it.`,
      {
        cause,
      },
    );
  });
  await syncFolder(dirname(folder));
  if (overwrite) await rm(replaced, { recursive: true, force: true });
}

async function checkVacant(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((cause) => {
    if (hasCode(cause, "ENOENT")) return [];
    if (hasCode(cause, "ENOTDIR")) return [folder]; // a file
    throw cause;
  });
  if (entries.length === 0) return;
  throw new CheckpointError(
    `${folder}: exists already, expected a new or empty folder. Choose another output, or pass --overwrite.`,
  );
}

/** Makes names last: they are on disk when the folder itself is. Systems that cannot open a folder need no such step. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path).catch(ignore("EISDIR", "EPERM", "EACCES"));
  await handle?.sync().catch(ignore("EISDIR", "EPERM", "EINVAL"));
  await handle?.close();
}

function ignore(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!codes.some((code) => hasCode(error, code))) throw error;
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
