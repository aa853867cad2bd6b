import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError, hasCode, ignore, LayerwiseError } from "../errors.ts";

/** Bytes that one system call is given: some systems take no more than 2 GiB. */
const LARGEST_WRITE = 2 ** 30;

/** Writes all of `bytes` into a file from byte `position`. */
export async function writeAt(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    done += (await handle.write(bytes, done, length, position + done)).bytesWritten;
  }
}

/** What to do about the system's refusals; of others, to write elsewhere. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: "Make room",
  EDQUOT: "Make room",
  EFBIG: "Make room",
  EACCES: "Get the right to write there, or choose another output",
  EPERM: "Get the right to write there, or choose another output",
  ENAMETOOLONG: "Choose a shorter name",
};

/** Awaits what writes to `path`. @throws CheckpointError saying why the system refused it: a full disk, a missing right */
export async function writing<Result>(path: string, done: Promise<Result>): Promise<Result> {
  return done.catch((cause) => {
    if (cause instanceof LayerwiseError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const advice = ADVICE[cause?.code] ?? "Choose another output";
    throw new CheckpointError(`${path}: cannot be written (${reason}), expected room and the right to. ${advice}.`, {
      cause,
    });
  });
}

/** Creates a folder and those above it that are missing. Node's own way never returns where the system lets none be made. */
export async function createFolder(path: string): Promise<void> {
  const failure = await mkdir(path).catch((error: unknown) => error);
  if (failure === undefined || (hasCode(failure, "EEXIST") && (await stat(path)).isDirectory())) return;
  if (!hasCode(failure, "ENOENT") || dirname(path) === path) throw failure;
  await createFolder(dirname(path));
  await mkdir(path).catch(ignore("EEXIST"));
}

/** Makes names last: they are on disk when the folder itself is. Systems that cannot open a folder need no such step. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path).catch(ignore("EISDIR", "EPERM", "EACCES"));
  const synced = handle?.sync().catch(ignore("EISDIR", "EPERM", "EINVAL"));
  if (synced) await writing(path, synced).finally(() => handle?.close());
}
