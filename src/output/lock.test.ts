import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { FolderLock, isLock } from "./lock.ts";

/** A process that does nothing until the test is finished. */
async function idle(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["-e", "console.log(); setInterval(() => {}, 1000)"]);
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

async function folderWith(...locks: string[]): Promise<string> {
  const folder = join(await temporaryFolder(), "partial");
  await mkdir(folder);
  for (const name of locks) await writeFile(join(folder, name), "");
  return folder;
}

const here = encodeURIComponent(hostname());

test("a folder has one owner at a time, who is named to others", async () => {
  const folder = join(await temporaryFolder(), "above", "partial");
  const lock = await FolderLock.acquire(folder);
  expect((await readdir(folder)).every(isLock)).toBe(true);
  await expect(FolderLock.acquire(folder)).rejects.toThrow(
    new CheckpointError(
      `${folder}: process ${process.pid} on ${hostname()} is at work there, expected nobody. Wait for it, or choose another output.`,
    ),
  );
  await lock.release();
  await (await FolderLock.acquire(folder)).release();
  expect(await readdir(folder)).toEqual([]);
});

test("the lock of a process that was killed is taken over, that of one that lives is not", async () => {
  const child = await idle();
  const folder = await folderWith(`lock.${child.pid}..${here}`);
  await expect(FolderLock.acquire(folder)).rejects.toThrow(`process ${child.pid} on ${hostname()} is at work there`);
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await FolderLock.acquire(folder)).release();
  expect(await readdir(folder)).toEqual([]);
});

test("on Linux, a process that was given the number of a dead one is told from it", async () => {
  const child = await idle();
  const folder = await folderWith(`lock.${child.pid}.1-00000000.${here}`);
  const taken = await FolderLock.acquire(folder).then(
    () => true,
    () => false,
  );
  expect(taken).toBe(process.platform === "linux");
});

test("of a process on another machine nobody can tell whether it lives: its lock holds, and the message says where", async () => {
  const folder = await folderWith("lock.1.1-00000000.some%20where");
  await expect(FolderLock.acquire(folder)).rejects.toThrow(
    `process 1 on some where is at work there, expected nobody. Wait for it, delete ${folder}/lock.1.1-00000000.some%20where if it is no more, or choose another output.`,
  );
  expect(await readdir(folder)).toEqual(["lock.1.1-00000000.some%20where"]);
});

test("of many processes that take over a dead one's lock at the same moment, no two are let in together", async () => {
  const dead = await idle();
  dead.kill("SIGKILL");
  await once(dead, "exit");
  const folder = await folderWith(`lock.${dead.pid}..${here}`);
  const program = `
    import { mkdirSync, renameSync, rmdirSync } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { FolderLock } from ${JSON.stringify(new URL("./lock.ts", import.meta.url).href)};
    process.stdin.once("data", async () => {
      let entered = 0;
      for (let turn = 0; turn < 10; turn++) {
        const lock = await FolderLock.acquire(process.argv[1]).catch(() => undefined);
        if (!lock) continue;
        mkdirSync(process.argv[1] + ".inside"); // fails if another is inside
        await setTimeout(2);
        rmdirSync(process.argv[1] + ".inside");
        if (turn % 2 === 0) await lock.release();
        else renameSync(process.argv[1], process.argv[1] + process.pid + turn); // as a run that is finished does
        entered++;
      }
      console.log(entered);
      process.exit();
    });
    console.log("ready");
  `;
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program, folder]),
  );
  await Promise.all(children.map(({ stdout }) => once(stdout, "data")));
  const results = children.map(async (child) => {
    let printed = "";
    child.stdout.on("data", (chunk) => (printed += chunk));
    child.stdin.write("go");
    await once(child, "close");
    return Number(printed);
  });
  const entered = await Promise.all(results);
  expect(entered.every(Number.isFinite)).toBe(true);
  expect(Math.max(...entered)).toBeGreaterThan(0);
});
