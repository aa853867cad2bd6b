import type { FileHandle } from "node:fs/promises";
import { CheckpointError } from "../errors.ts";

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
