import { readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { CheckpointError, CompressionError, InterruptedError, ignore } from "../errors.ts";
import { expectSameRun, type Fingerprint, fingerprintSchema } from "./fingerprint.ts";
import { Journal } from "./journal.ts";
import { FolderLock, isLock } from "./lock.ts";
import { checkPlace, type PlaceOptions } from "./place.ts";
import { syncFolder, writing } from "./write-at.ts";

/** Where an output will be, and what may be done with what is there already. */
export interface OutputFolderOptions extends PlaceOptions {
  /** Where the checkpoint appears once it is whole. */
  readonly folder: string;
  /** Goes on with what an earlier run has left, if there is anything. */
  readonly resume?: boolean;
  /** What the output depends on: a run is only gone on with if all of it is the same. */
  readonly fingerprint?: Fingerprint;
}

const JOURNAL = "journal.jsonl";
/** The journal's last record: all is written, only its place is missing. */
const COMPLETE = "complete";

/**
 * An output that is not whole yet: `<folder>.partial` with the files in `output/`, a journal of what is finished of them, and
 * the lock of the process that writes them.
 */
export class OutputFolder {
  /** Whether the lock is released: what lies in the folder is no longer ours. */
  #isLeft = false;

  private constructor(
    readonly folder: string,
    readonly partial: string,
    private readonly options: OutputFolderOptions,
    private readonly lock: FolderLock,
    private readonly journal: Journal,
  ) {}

  /**
   * Creates the partial folder, or takes over what a stopped run has left of it.
   *
   * @throws CheckpointError as {@link checkPlace} does, where another process is at work, where the partial folder exists and
   * nothing says what to do with it, where the system lets nothing be written, and for a run to go on with that had another
   * fingerprint or whose journal is damaged
   */
  static async open(options: OutputFolderOptions): Promise<OutputFolder> {
    if (!options.folder) throw new CheckpointError("output: no path, expected one of a folder to come. Name one.");
    const folder = resolve(options.folder);
    return writing(folder, OutputFolder.#openAt(folder, options));
  }

  static async #openAt(folder: string, options: OutputFolderOptions): Promise<OutputFolder> {
    const partial = `${folder}.partial`;
    const lock = await FolderLock.acquire(partial);
    try {
      const journal = (await goOn(folder, partial, options)) ?? (await begin(folder, partial, options));
      return new OutputFolder(folder, partial, options, lock, journal);
    } catch (error) {
      await lock.release();
      await rmdir(partial).catch(ignore("ENOENT", "ENOTEMPTY", "EEXIST"));
      throw error;
    }
  }

  /** Where the files lie until they are moved. */
  get content(): string {
    return join(this.partial, "output");
  }

  /** What this run and those that it goes on with have noted down as finished. */
  get records(): readonly unknown[] {
    return this.journal.records.slice(1).filter((record) => record !== COMPLETE);
  }

  /** Notes that something is finished: it is on disk when this returns, as its files must be before. */
  append(record: unknown): Promise<void> {
    return this.journal.append(record);
  }

  /** Forgets all records but the first `count`. */
  keepRecords(count: number): Promise<void> {
    return this.journal.keep(1 + count);
  }

  /** Whether an earlier run has moved the output into place, and was stopped while it cleaned up. */
  isMoved(): Promise<boolean> {
    return isMoved(this.partial, this.journal);
  }

  /**
   * Moves the files into place and deletes the rest. What they replace is moved aside first and deleted last, so that at any
   * moment one of the two is whole.
   */
  async finish(): Promise<void> {
    const replaced = `${this.folder}.replaced`;
    if (!(await this.isMoved())) {
      await syncFolder(this.content);
      await this.journal.append(COMPLETE);
      await this.#moveIntoPlace(replaced);
    }
    if (this.options.overwrite) await rm(replaced, { recursive: true, force: true });
    await this.#remove();
  }

  /**
   * Ends early, after a failure. If a later run can go on with what is finished, that stays: so not after numbers that a
   * modifier cannot work with, which would be met again.
   *
   * @returns what to throw: the failure, or an InterruptedError that says how to go on
   */
  async abandon(failure: unknown): Promise<unknown> {
    if (this.#isLeft) return failure;
    if (this.journal.records.length <= 1 || failure instanceof CompressionError) {
      await this.#remove().catch(() => undefined); // the failure says more than that it cannot be cleaned up
      return failure;
    }
    await this.journal.close().catch(() => undefined);
    await this.lock.release().catch(() => undefined); // it is a dead process's soon
    this.#isLeft = true;
    const reason = failure instanceof Error ? failure.message : String(failure);
    const advice = `${this.partial}: holds what is finished. Pass --resume to go on.`;
    return new InterruptedError(`${reason}\n${advice}`, { cause: failure });
  }

  /** Deletes everything. The folder goes at once, with its lock, so that what is left of it is never taken for a run's. */
  async #remove(): Promise<void> {
    await this.journal.close();
    const finished = `${this.partial}.finished`;
    await rm(finished, { recursive: true, force: true });
    await rename(this.partial, finished);
    this.#isLeft = true;
    await rm(finished, { recursive: true, force: true });
  }

  async #moveIntoPlace(replaced: string): Promise<void> {
    if (this.options.overwrite) {
      await rm(replaced, { recursive: true, force: true });
      await rename(this.folder, replaced).catch(ignore("ENOENT"));
    } else {
      await rmdir(this.folder).catch(ignore("ENOENT", "ENOTEMPTY", "EEXIST", "ENOTDIR"));
    }
    await rename(this.content, this.folder).catch((cause) => {
      throw new CheckpointError(
        `${this.folder}: cannot be created, expected a free place. Free it, or move ${this.content} yourself.`,
        { cause },
      );
    });
    await syncFolder(dirname(this.folder));
  }
}

/** The journal of the run that is to be gone on with, if there is one that got as far as to begin it. */
async function goOn(folder: string, partial: string, options: OutputFolderOptions): Promise<Journal | undefined> {
  const { resume, fingerprint = {} } = options;
  const journal = resume ? await Journal.open(join(partial, JOURNAL)) : undefined;
  try {
    if (!journal || journal.records.length === 0) {
      await journal?.close();
      return undefined;
    }
    expectSameRun(partial, fingerprintSchema.safeParse(journal.records[0]).data ?? {}, fingerprint);
    if (!(await isMoved(partial, journal))) await checkPlace(folder, options);
    return journal;
  } catch (error) {
    await journal?.close();
    throw error;
  }
}

/** An empty folder with a new journal. */
async function begin(folder: string, partial: string, options: OutputFolderOptions): Promise<Journal> {
  const { overwrite, resume, fingerprint = {} } = options;
  await checkPlace(folder, options);
  if (!overwrite && !resume && (await contents(partial)).length > 0) {
    throw new CheckpointError(
      `${partial}: exists already, expected none. A run was stopped: pass --resume to go on with it, or --overwrite to start anew.`,
    );
  }
  await clear(partial);
  await rm(`${partial}.finished`, { recursive: true, force: true });
  try {
    await syncFolder(dirname(partial));
    return await Journal.create(join(partial, JOURNAL), fingerprint);
  } catch (error) {
    await clear(partial);
    throw error;
  }
}

async function isMoved(partial: string, journal: Journal): Promise<boolean> {
  return journal.records.at(-1) === COMPLETE && !(await readdir(partial)).includes("output");
}

/** What is in a partial folder but locks. */
async function contents(partial: string): Promise<string[]> {
  return (await readdir(partial)).filter((name) => !isLock(name));
}

async function clear(partial: string): Promise<void> {
  for (const name of await contents(partial)) await rm(join(partial, name), { recursive: true, force: true });
}
