import { randomInt } from "node:crypto";
import { open, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CheckpointError, hasCode, ignore } from "../errors.ts";
import { createFolder } from "./write-at.ts";

/** A process as a lock's name spells it: `lock.PID.START.HOST`. */
interface Owner {
  readonly pid: number;
  /** When it began, which tells it from a later process with the same number; empty where the system does not say. */
  readonly start: string;
  readonly host: string;
}

/** Processes that begin at the same moment see each other and withdraw; after this many tries, one is let in or none. */
const ATTEMPTS = 6;
const LONGEST_WAIT = 60;
const LOCK = /^lock\.(\d+)\.([\w-]*)\.(.*)$/;

/**
 * Lets one process at a time work in a folder. Each puts a file there whose name says who it is, then looks for others:
 * of any two, the one that looks last sees the other. A dead process's file is its own alone, so that deleting it never takes
 * a lock from the living.
 */
export class FolderLock {
  private constructor(readonly file: string) {}

  /** Creates the folder if need be. @throws CheckpointError naming the process that is at work there */
  static async acquire(folder: string): Promise<FolderLock> {
    const name = lockName({ pid: process.pid, start: (await startOf(process.pid)) ?? "", host: hostname() });
    for (let attempt = 1; ; attempt++) {
      if (!(await create(folder, name))) throw held(folder, name);
      const names = await readdir(folder).catch(ignore("ENOENT"));
      if (!names?.includes(name)) continue; // moved away with the folder, by one that had the lock
      const other = await findLiving(
        folder,
        names.filter((other) => isLock(other) && other !== name),
      );
      if (!other) return new FolderLock(join(folder, name));
      await rm(join(folder, name), { force: true });
      if (attempt === ATTEMPTS) throw held(folder, other);
      await sleep(randomInt(LONGEST_WAIT) * attempt);
    }
  }

  /** Lets others in. */
  release(): Promise<void> {
    return rm(this.file, { force: true });
  }
}

/** Whether a file in a locked folder is somebody's lock. */
export function isLock(name: string): boolean {
  return LOCK.test(name);
}

/** @returns false if this very process has the lock */
async function create(folder: string, name: string): Promise<boolean> {
  for (;;) {
    await createFolder(folder);
    try {
      await (await open(join(folder, name), "wx")).close();
      return true;
    } catch (error) {
      if (hasCode(error, "EEXIST")) return false;
      if (hasCode(error, "ENOENT")) continue; // the folder was moved away meanwhile, by one that had the lock
      await rmdir(folder).catch(() => undefined); // it may be anybody's, unless it is empty
      throw error;
    }
  }
}

/** The first of these locks whose process lives, or may. Those of the dead are deleted. */
async function findLiving(folder: string, locks: readonly string[]): Promise<string | undefined> {
  for (const name of locks) {
    if (await isAlive(parseLock(name))) return name;
    await rm(join(folder, name), { force: true });
  }
  return undefined;
}

async function isAlive({ pid, start, host }: Owner): Promise<boolean> {
  if (host !== hostname()) return true; // nobody here can tell
  const now = await startOf(pid);
  if (now !== undefined) return start === "" || now === "" || now === start;
  return false;
}

/** When a process began; empty where the system does not say, undefined if there is no such process or it is dead. */
async function startOf(pid: number): Promise<string | undefined> {
  if (!exists(pid)) return undefined;
  const [stat, boot] = await Promise.all(
    [`/proc/${pid}/stat`, "/proc/sys/kernel/random/boot_id"].map((file) => readFile(file, "utf8").catch(() => "")),
  );
  if (stat === "" || boot === "") return exists(pid) ? "" : undefined;
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // proc_pid_stat(5), from its third field on
  return state === "Z" || state === "X" ? undefined : `${fields[18]}-${boot.slice(0, 8)}`;
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !hasCode(error, "ESRCH"); // without permission to signal it, it lives
  }
}

function lockName({ pid, start, host }: Owner): string {
  return `lock.${pid}.${start}.${encodeURIComponent(host)}`;
}

function parseLock(name: string): Owner {
  const [, pid, start, host] = LOCK.exec(name) as RegExpExecArray;
  return { pid: Number(pid), start, host: decodeHost(host) };
}

function decodeHost(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function held(folder: string, name: string): CheckpointError {
  const { pid, host } = parseLock(name);
  const advice = host === hostname() ? "" : `, delete ${join(folder, name)} if it is no more`;
  return new CheckpointError(
    `${folder}: process ${pid} on ${host} is at work there, expected nobody. Wait for it${advice}, or choose another output.`,
  );
}
