import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** What bench/export.mjs tells of a run. */
export interface Cost {
  readonly seconds: number;
  /** Seconds of all cores together, which other processes hardly change. */
  readonly coreSeconds: number;
  readonly peakBytes: number;
}

/** What bench/compress.mjs tells of a run. */
export interface Measurement extends Cost {
  readonly phases: Readonly<Record<string, number>>;
}

/** What is compressed, on what. */
export interface MeasuredRun {
  readonly model: string;
  readonly dataset: string;
  readonly output: string;
  readonly samples: number;
  readonly passes?: 1 | 2;
  /** A recipe's file or text; the benchmark's by default. */
  readonly recipe?: string;
  /** The dtype to save in: "F32", as in the benchmark, by default. */
  readonly precision?: "auto" | "F32";
  /** Whether glibc gives freed memory back at once, as docs/command-line.md advises for large models. */
  readonly givesBack?: boolean;
}

/** The path of a file beside the benchmarks. */
export function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Compresses as a recipe says, in a process of its own, whose peak memory is therefore the run's. */
export async function measure({ model, dataset, output, samples, ...run }: MeasuredRun): Promise<Measurement> {
  const { recipe = here("gptq-w4g64.yaml"), passes = "", precision = "F32" } = run;
  const args = [model, dataset, output, String(samples), recipe, String(passes), precision];
  return measureProgram("compress.mjs", args, run.givesBack);
}

/** What is exported, and how. */
export interface MeasuredExport {
  readonly model: string;
  readonly output: string;
  readonly format: string;
  readonly dtype: string;
  /** Bytes of one file of weights. */
  readonly maxShardSize?: number;
}

/** Exports a model and checks what was written, in a process of its own. */
export async function measureExport({ model, output, format, dtype, maxShardSize }: MeasuredExport): Promise<Cost> {
  return measureProgram("export.mjs", [model, output, format, dtype, String(maxShardSize ?? "")], true);
}

/** What a program beside this one prints last, as JSON. */
async function measureProgram<Result>(program: string, args: readonly string[], givesBack = false): Promise<Result> {
  const env = givesBack ? { ...process.env, MALLOC_MMAP_THRESHOLD_: "131072" } : process.env;
  const options = { maxBuffer: 2 ** 26, env };
  // As the command line does; see src/cli/main.ts.
  const node = ["--no-incremental-marking", here(program)];
  const { stdout } = await promisify(execFile)(process.execPath, [...node, ...args], options);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

/** Rows of a markdown table under a header. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
