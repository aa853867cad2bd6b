import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError, hasCode } from "../errors.ts";
import { syncFolder, writeAt, writing } from "./write-at.ts";

/** One line of a journal. */
interface Line {
  readonly record: unknown;
  readonly checksum: string;
  /** Bytes of the file up to the end of the line. */
  readonly end: number;
}

const LINE = /^\{"checksum":"([0-9a-f]{64})","record":(.*)\}$/s;
const NEWLINE = 0x0a;

/**
 * A file of JSON lines that only grows: what was appended is on disk, whatever happens then. The checksum of a line covers
 * those before it, so that none can be lost, moved or changed unnoticed.
 */
export class Journal {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private lines: readonly Line[],
  ) {}

  /** Begins a journal, in place of any other, with one line. */
  static async create(path: string, record: unknown): Promise<Journal> {
    const journal = new Journal(path, await writing(path, open(path, "w")), []);
    try {
      await journal.append(record);
      await syncFolder(dirname(path));
      return journal;
    } catch (error) {
      await journal.close();
      throw error;
    }
  }

  /**
   * Goes on with a journal. A last line that is incomplete or damaged was being written when a process or machine stopped:
   * it is dropped.
   *
   * @returns undefined if there is none
   * @throws CheckpointError for damage before the last line
   */
  static async open(path: string): Promise<Journal | undefined> {
    const handle = await open(path, "r+").catch((error) => {
      if (!hasCode(error, "ENOENT")) throw error;
    });
    if (!handle) return undefined;
    try {
      const journal = new Journal(path, handle, parseLines(path, await readFile(handle)));
      await handle.truncate(journal.#end);
      return journal;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** What was appended, in order. */
  get records(): readonly unknown[] {
    return this.lines.map(({ record }) => record);
  }

  /** Adds a line. A process that is killed once this has returned does not lose it. */
  async append(record: unknown): Promise<void> {
    const json = JSON.stringify(record);
    const checksum = checksumOf(this.lines.at(-1)?.checksum, json);
    const bytes = Buffer.from(`{"checksum":"${checksum}","record":${json}}\n`);
    await writing(this.path, writeAt(this.handle, this.#end, bytes));
    this.lines = [...this.lines, { record, checksum, end: this.#end + bytes.length }];
  }

  /** Forgets all but the first `count` records. */
  async keep(count: number): Promise<void> {
    this.lines = this.lines.slice(0, count);
    await this.handle.truncate(this.#end);
    await this.handle.sync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  get #end(): number {
    return this.lines.at(-1)?.end ?? 0;
  }
}

function parseLines(path: string, bytes: Buffer): Line[] {
  const lines: Line[] = [];
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    const line = newline < 0 ? undefined : parseLine(bytes.toString("utf8", start, end), lines.at(-1)?.checksum);
    if (line) lines.push({ ...line, end: end + 1 });
    else if (end + 1 >= bytes.length) break;
    else {
      throw new CheckpointError(
        `${path}: line ${lines.length + 1} is damaged, expected what an earlier run wrote. Pass --overwrite without --resume to start anew.`,
      );
    }
    start = end + 1;
  }
  return lines;
}

function parseLine(text: string, previous: string | undefined): Omit<Line, "end"> | undefined {
  const [, checksum, json] = LINE.exec(text) ?? [];
  if (json === undefined || checksum !== checksumOf(previous, json)) return undefined;
  return { record: JSON.parse(json), checksum };
}

function checksumOf(previous = "", json: string): string {
  return createHash("sha256").update(`${previous}\n${json}`).digest("hex");
}
