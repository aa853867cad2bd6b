import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { folderBytes } from "./folder-bytes.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const cli = here("../dist/cli.js");

/** Arguments of a run on the example model: 28 modules, 5 subgraphs, a second or two. */
const compress = (output: string, ...more: string[]) => [
  ...[cli, "compress", here("../examples/moby-tiny"), "--recipe", here("../examples/gptq-w4a16.yaml")],
  ...["--dataset", here("../examples/calibration.jsonl"), "--output", output, "--max-seq-length", "32"],
  ...["--num-calibration-samples", "4", "--batch-size", "2", "--threads", "1", "--json", ...more],
];

interface Result {
  /** Undefined for a process that was killed. */
  readonly code?: number;
  readonly stderr: string;
  readonly events: readonly string[];
}

/** Runs a command to its end, or kills it: `wait` milliseconds after it has printed its event number `event`. */
async function run(args: readonly string[], kill?: { readonly event: number; readonly wait: number }): Promise<Result> {
  const child = spawn(process.execPath, args);
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  let isDue = kill !== undefined;
  child.stdout.on("data", async (chunk) => {
    stdout += chunk;
    if (!isDue || !kill || stdout.split("\n").length <= kill.event) return;
    isDue = false;
    await sleep(kill.wait);
    child.kill("SIGKILL");
  });
  const [code] = await once(child, "close");
  return { code: code ?? undefined, stderr, events: stdout.trim().split("\n") };
}

let expected: { readonly bytes: Record<string, string>; readonly events: number; readonly endTakes: number };

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-"));
  const child = spawn(process.execPath, compress(join(folder, "output")));
  let [printed, last] = ["", 0];
  child.stdout.on("data", (chunk) => {
    printed += chunk;
    last = performance.now();
  });
  await once(child, "close");
  const endTakes = performance.now() - last;
  expected = { bytes: await folderBytes(join(folder, "output")), events: printed.trim().split("\n").length, endTakes };
  await rm(folder, { recursive: true });
}, 60_000);

test("killed at 20 random moments and gone on with, a run ends with the same bytes each time", async () => {
  const { events, endTakes } = expected;
  // Five of them after the last event, while what is left of the model is copied and the folder is moved into place.
  const moments = [
    ...fc.sample(fc.record({ event: fc.nat(events - 2), wait: fc.nat(30) }), { numRuns: 15, seed: 4 }),
    ...[0, 0.05, 0.1, 0.15, 0.2].map((share) => ({ event: events - 1, wait: share * endTakes })),
  ];
  let [killed, resumed] = [0, 0];
  const check = async (moment: (typeof moments)[number]) => {
    const output = join(await temporaryFolder(), "output");
    const first = await run(compress(output), moment);
    if (first.code === 0) return expect(await folderBytes(output)).toEqual(expected.bytes);
    killed += 1;
    const isMoved = (await readdir(join(output, ".."))).includes("output");
    const second = await run(compress(output, "--resume"));
    expect([second.code, second.stderr.split("\n").length], second.stderr).toEqual([0, 2]);
    if (second.events[0].includes("resumed") || isMoved) resumed += 1;
    expect(await folderBytes(output), JSON.stringify(moment)).toEqual(expected.bytes);
    expect(await readdir(join(output, ".."))).toEqual(["output"]);
  };
  while (moments.length > 0) await Promise.all(moments.splice(0, 2).map(check));
  expect(killed).toBeGreaterThan(14);
  expect(resumed).toBeGreaterThan(5);
}, 300_000);

test("killed again and again, a run gets to its end with the same bytes", async () => {
  const output = join(await temporaryFolder(), "output");
  let result = await run(compress(output), { event: 12, wait: 0 });
  for (let event = 16; result.code === undefined && event < expected.events; event += 16)
    result = await run(compress(output, "--resume"), { event, wait: 0 });
  if (result.code === undefined) result = await run(compress(output, "--resume"));
  expect(result.code).toBe(0);
  expect(await folderBytes(output)).toEqual(expected.bytes);
}, 120_000);

test("of two runs on one output, one is refused and names the other, which is not disturbed", async () => {
  const output = join(await temporaryFolder(), "output");
  await run(compress(output), { event: 30, wait: 0 });
  const both = await Promise.all([run(compress(output, "--resume")), run(compress(output, "--resume"))]);
  const [done, refused] = both.toSorted((a, b) => Number(a.code) - Number(b.code));
  expect([done.code, refused.code]).toEqual([0, 1]);
  expect(refused.stderr).toMatch(/is at work there|exists already/);
  expect(await folderBytes(output)).toEqual(expected.bytes);
  expect(await readdir(join(output, ".."))).toEqual(["output"]);
}, 60_000);

test("a run is refused while another is at work, whatever it was told to do with what is there", async () => {
  const output = join(await temporaryFolder(), "output");
  const first = spawn(process.execPath, compress(output));
  await once(first.stdout, "data");
  first.kill("SIGSTOP");
  for (const option of ["--resume", "--overwrite", "--no-self-check"]) {
    const { code, stderr } = await run(compress(output, option));
    expect([code, stderr.includes(`process ${first.pid} on`)], stderr).toEqual([1, true]);
  }
  first.kill("SIGCONT");
  expect(await once(first, "close")).toEqual([0, null]);
  expect(await folderBytes(output)).toEqual(expected.bytes);
}, 60_000);

describe("a full disk", () => {
  /** A small disk of its own in `folder`; the reason why not where the system does not let us. */
  function mount(folder: string, size: string): string | undefined {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder], { stdio: "pipe" });
      return undefined;
    } catch (error) {
      return String(error).split("\n")[0];
    }
  }

  test("is a clear error, and the run goes on once there is room", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "disk"));
    const reason = mount(join(folder, "disk"), "1200k");
    if (reason === undefined) onTestFinished(() => void execFileSync("umount", [join(folder, "disk")]));
    // Where nothing can be mounted, a limit on the size of files stands in for the disk.
    else console.log(`full disk: a limit on file sizes instead of a small disk (${reason})`);
    const output = join(folder, "disk", "output");
    const limit = reason === undefined ? [] : ["prlimit", "--fsize=1200000"];
    const [command, ...args] = [...limit, process.execPath, ...compress(output)];
    const failed = await new Promise<string>((resolve) => {
      execFile(command, args, (_, __, stderr) => resolve(stderr));
    });
    expect(failed).toMatch(/cannot be written \((ENOSPC|EFBIG): .*\), expected room and the right to\. Make room\./);
    if (reason === undefined) {
      expect(failed).toContain(`${output}.partial: holds what is finished. Pass --resume to go on.`);
      execFileSync("mount", ["-o", "remount,size=16m", join(folder, "disk")]);
    }
    expect((await run(compress(output, "--resume"))).code).toBe(0);
    expect(await folderBytes(output)).toEqual(expected.bytes);
  }, 60_000);
});

test("an output whose folder cannot be created says so before any work", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "file"), "");
  const { code, stderr, events } = await run(compress(join(folder, "file", "output")));
  expect([code, events]).toEqual([1, [""]]);
  expect(stderr).toContain(join(folder, "file"));
});
