import { type FileHandle, open } from "node:fs/promises";
import { CheckpointError, ignore } from "../errors.ts";

/** Bytes that one system call is given: some systems take no more than 2 GiB. */
const LARGEST_WRITE = 2 ** 30;

/** Writes all of `bytes` into a file from byte `position`. */
export async function writeAt(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    done += (await handle.write(bytes, done, length, position + done)).bytesWritten;
  }
}

/** Awaits what writes to `path`. @throws CheckpointError saying why the system refused it: a full disk, a missing right */
export async function writing<Result>(path: string, done: Promise<Result>): Promise<Result> {
  return done.catch((cause) => {
    if (cause instanceof CheckpointError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`${path}: cannot be written (${reason}), expected room and the right to. Make room.`, {
      cause,
    });
  });
}

/** Makes names last: they are on disk when the folder itself is. Systems that cannot open a folder need no such step. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path).catch(ignore("EISDIR", "EPERM", "EACCES"));
  const synced = handle?.sync().catch(ignore("EISDIR", "EPERM", "EINVAL"));
  if (synced) await writing(path, synced).finally(() => handle?.close());
}
