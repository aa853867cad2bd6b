import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
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

/** When to kill a run: some milliseconds after it has printed so many events, or has so many lines in its journal. */
interface Moment {
  readonly events?: number;
  readonly lines?: number;
  readonly wait: number;
}

/** Runs a command to its end, or kills it. */
async function run(args: readonly string[], moment?: Moment): Promise<Result> {
  const child = spawn(process.execPath, args);
  const closed = once(child, "close");
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const journal = `${args[args.indexOf("--output") + 1]}.partial/journal.jsonl`;
  const isDue = ({ events = 0, lines = 0 }: Moment) => linesOf(stdout) >= events && linesIn(journal) >= lines;
  while (moment && child.exitCode === null && !isDue(moment)) await sleep(1);
  if (moment) await sleep(moment.wait);
  if (moment) child.kill("SIGKILL");
  const [code] = await closed;
  return { code: code ?? undefined, stderr, events: stdout.trim().split("\n") };
}

const linesOf = (text: string) => text.split("\n").length - 1;

function linesIn(file: string): number {
  return existsSync(file) ? linesOf(readFileSync(file, "latin1")) : 0;
}

let expected: { readonly bytes: Record<string, string>; readonly events: number };

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-"));
  const { events } = await run(compress(join(folder, "output")));
  expected = { bytes: await folderBytes(join(folder, "output")), events: events.length };
  await rm(folder, { recursive: true });
}, 60_000);

test("killed at 20 random moments and gone on with, a run ends with the same bytes each time", async () => {
  const wait = fc.nat(30);
  const anywhere = fc.record({ events: fc.integer({ min: 1, max: expected.events }), wait });
  // The journal's lines: how the run began, four subgraphs with linears, and that all is complete.
  const atTheEnd = fc.record({ lines: fc.constantFrom(5, 6), wait: fc.nat(3) });
  const moments = [...fc.sample(anywhere, { numRuns: 14, seed: 4 }), ...fc.sample(atTheEnd, { numRuns: 6, seed: 4 })];
  let [killed, resumed] = [0, 0];
  const check = async (moment: Moment) => {
    const output = join(await temporaryFolder(), "output");
    const first = await run(compress(output), moment);
    if (first.code === undefined) killed += 1;
    if (!existsSync(`${output}.partial`)) return expect(await folderBytes(output)).toEqual(expected.bytes);
    const second = await run(compress(output, "--resume"));
    expect([second.code, linesOf(second.stderr)], second.stderr).toEqual([0, 1]);
    if (second.events[0].includes("resumed")) resumed += 1;
    expect(await folderBytes(output), JSON.stringify(moment)).toEqual(expected.bytes);
    expect(await readdir(join(output, ".."))).toEqual(["output"]);
  };
  while (moments.length > 0) await Promise.all(moments.splice(0, 2).map(check));
  expect(killed).toBeGreaterThan(14);
  expect(resumed).toBeGreaterThan(5);
}, 300_000);

test("killed again and again, a run gets to its end with the same bytes", async () => {
  const output = join(await temporaryFolder(), "output");
  let result = await run(compress(output), { events: 12, wait: 0 });
  for (let events = 16; result.code === undefined && events < expected.events; events += 16)
    result = await run(compress(output, "--resume"), { events, wait: 0 });
  if (result.code === undefined) result = await run(compress(output, "--resume"));
  expect(result.code).toBe(0);
  expect(await folderBytes(output)).toEqual(expected.bytes);
}, 120_000);

test("of two runs on one output, one is refused and names the other, which is not disturbed", async () => {
  const output = join(await temporaryFolder(), "output");
  await run(compress(output), { events: 30, wait: 0 });
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
  function mount(folder: string, options: string): string | undefined {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "pipe" });
      return undefined;
    } catch (error) {
      return String(error).split("\n")[0];
    }
  }

  /** Sizes in bytes, of an output of 2.7 MB; the last has room for eight files and folders, of which the output is twelve. */
  const disks: [what: string, options: string, bytes: number, isBegun: boolean][] = [
    ["at once", "size=64k", 64_000, false],
    ["in the middle", "size=1200k", 1_200_000, true],
    ["with the last layer", "size=2200k", 2_200_000, true],
    ["for one more file", "size=16m,nr_inodes=8", 2_200_000, true],
  ];

  test.each(disks)(
    "%s is a clear error, and the run goes on once there is room",
    async (_, options, bytes, isBegun) => {
      const folder = await temporaryFolder();
      const disk = join(folder, "disk");
      await mkdir(disk);
      const reason = mount(disk, options);
      if (reason === undefined) onTestFinished(() => void execFileSync("umount", [disk]));
      // Where nothing can be mounted, a limit on the size of files stands in for the disk.
      else console.log(`full disk: a limit on file sizes instead of a small disk (${reason})`);
      const output = join(disk, "output");
      const limit = reason === undefined ? [] : ["prlimit", `--fsize=${bytes}`];
      const [command, ...args] = [...limit, process.execPath, ...compress(output)];
      const failed = await new Promise<string>((resolve) => {
        execFile(command, args, (_, __, stderr) => resolve(stderr));
      });
      expect(failed).toMatch(/cannot be written \((ENOSPC|EFBIG): .*\), expected room and the right to\. Make room\./);
      if (reason === undefined) {
        const advice = `${output}.partial: holds what is finished. Pass --resume to go on.`;
        expect([failed.includes(advice), await readdir(disk)]).toEqual([isBegun, isBegun ? ["output.partial"] : []]);
        execFileSync("mount", ["-o", "remount,size=16m,nr_inodes=1000", disk]);
      }
      expect((await run(compress(output, "--resume"))).code).toBe(0);
      expect(await folderBytes(output)).toEqual(expected.bytes);
    },
    60_000,
  );
});

test("an output whose folder cannot be created says so before any work", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "file"), "");
  const { code, stderr, events } = await run(compress(join(folder, "file", "output")));
  expect([code, events]).toEqual([1, [""]]);
  expect(stderr).toMatch(
    /^layerwise: .*\/file\/output: cannot be written \(ENOTDIR: .*\), .* Choose another output\.\n$/,
  );
});
