import type { FileHandle } from "node:fs/promises";

/** Bytes that one system call is asked for: some systems give no more than 2 GiB. */
const LARGEST_READ = 2 ** 30;

/** Fills `target` with what a file holds from byte `position`. @returns the bytes read, fewer where the file ends early */
export async function readAt(handle: FileHandle, position: number, target: Uint8Array): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, LARGEST_READ);
    const { bytesRead } = await handle.read(target, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
