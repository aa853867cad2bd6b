import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAt } from "../checkpoint/read-at.ts";
import { ExecutionError } from "../errors.ts";

/** A piece of a {@link SpillFile}. */
export interface Extent {
  readonly position: number;
  readonly length: number;
}

/** A temporary file for what memory has no room for. It goes when it is closed, and with the process on most systems. */
export class SpillFile {
  readonly #free = new Map<number, Extent[]>();
  #opened?: Promise<{ handle: FileHandle; folder: string }>;
  #end = 0;

  /** @param parent - where the file lies; the system's folder for temporary files unless told */
  constructor(private readonly parent: string = tmpdir()) {}

  /** Writes bytes wherever there is room. @throws ExecutionError if the disk takes no more */
  async write(bytes: Uint8Array): Promise<Extent> {
    const extent = this.#free.get(bytes.length)?.pop() ?? this.#append(bytes.length);
    try {
      const { handle } = await this.#open();
      for (let done = 0; done < bytes.length; ) {
        done += (await handle.write(bytes, done, bytes.length - done, extent.position + done)).bytesWritten;
      }
    } catch (cause) {
      const found = cause instanceof Error ? cause.message : String(cause);
      throw new ExecutionError(
        `${this.parent}: intermediates cannot be written there (${found}), expected room for ${this.#end} bytes. ` +
          "Free some, name another folder in TMPDIR, or raise the memory budget.",
        { cause },
      );
    }
    return extent;
  }

  /** Reads what was written. @throws ExecutionError if it is no longer there */
  async read({ position, length }: Extent, target: Uint8Array): Promise<void> {
    const { handle } = await this.#open();
    const found = await readAt(handle, position, target);
    if (found === length) return;
    throw new ExecutionError(`${this.parent}: ${found} bytes of a temporary file, expected ${length}. Run again.`);
  }

  /** Leaves the room of a piece to what comes. */
  free(extent: Extent): void {
    const others = this.#free.get(extent.length);
    if (others) others.push(extent);
    else this.#free.set(extent.length, [extent]);
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    this.#opened = undefined;
    await opened?.handle.close();
    if (opened) await rm(opened.folder, { recursive: true, force: true });
  }

  #append(length: number): Extent {
    const extent = { position: this.#end, length };
    this.#end += length;
    return extent;
  }

  #open(): Promise<{ handle: FileHandle; folder: string }> {
    this.#opened ??= createUnnamed(this.parent);
    return this.#opened;
  }
}

/** A file whose name is taken away at once: it is gone when the process is. A system that does not allow it keeps the name. */
async function createUnnamed(parent: string): Promise<{ handle: FileHandle; folder: string }> {
  const folder = await mkdtemp(join(parent, "layerwise-"));
  const handle = await open(join(folder, "intermediates"), "wx+", 0o600);
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  return { handle, folder };
}
