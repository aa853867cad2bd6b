import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";

/** Bytes that one system call is asked for: some systems give no more than 2 GiB. */
const LARGEST_READ = 2 ** 30;
/** Bytes that are there sooner than another thread is asked for them. */
const SHORT_READ = 2 ** 14;

/** Fills `target` with what a file holds from byte `position`. @returns the bytes read, fewer where the file ends early */
export async function readAt(handle: FileHandle, position: number, target: Uint8Array): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, LARGEST_READ);
    const isShort = length <= SHORT_READ;
    const read = isShort
      ? readSync(handle.fd, target, done, length, position + done)
      : (await handle.read(target, done, length, position + done)).bytesRead;
    if (read === 0) break;
    done += read;
  }
  return done;
}
