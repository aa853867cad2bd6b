import { type Command, Option } from "commander";
import { estimate } from "../estimate/estimate.ts";
import { modifierFor } from "../export/modifier-for.ts";
import type { ExportRequest } from "../export/registry.ts";
import { inspectCheckpoint } from "../formats/inspect.ts";
import { oneshot } from "../oneshot.ts";
import type { OneshotOptions } from "../oneshot-options.ts";
import { Profiler } from "../profile/profiler.ts";
import { parseVariables } from "../recipe/variables.ts";
import { formatEstimate } from "./estimate.ts";
import {
  addExportOptions,
  addRunOptions,
  byteCount,
  integer,
  interruptible,
  names,
  positiveInteger,
} from "./options.ts";
import { formatSelfTimes } from "./profile.ts";
import { ProgressPrinter } from "./progress.ts";
import { formatBytes, formatSeconds } from "./text.ts";

/** `layerwise compress MODEL --recipe R --dataset D --output O`. */
export function registerCompress(program: Command): void {
  const command = addRunOptions(addExportOptions(declareCompress(program)));
  command.action(async (model: string, { shuffle, set, json, profile, dryRun, ...options }) => {
    const progress = new ProgressPrinter(json ? process.stdout : process.stderr, json);
    const profiler = profile && new Profiler();
    const run = {
      ...options,
      recipe: recipeOf(options, (message) => command.error(`error: ${message}`)),
      model,
      shuffleCalibrationSamples: shuffle,
      recipeArgs: set && parseVariables(set),
      onProgress: progress.onProgress,
      signal: interruptible(),
      profiler,
    };
    if (dryRun) {
      const expected = await estimate({ ...run, onProgress: json ? undefined : run.onProgress });
      process.stdout.write(`${json ? JSON.stringify(expected) : formatEstimate(expected)}\n`);
      return;
    }
    await profiler?.write(profile); // a place that cannot be written is refused before the run, not after it
    const start = performance.now();
    await oneshot(run).finally(() => profiler?.write(profile));
    progress.finish();
    if (profiler) process.stderr.write(`${formatSelfTimes(profiler.spans)}\n`);
    process.stderr.write(`${await summaryOf(options.output, (performance.now() - start) / 1000)}\n`);
  });
}

/** The options that decide what to compress with. */
interface RecipeOptions extends Partial<ExportRequest> {
  readonly recipe?: string;
  readonly schemeFor?: string;
}

/** What to compress with: a recipe's file, or GPTQ for a format. `refuse` ends the command where options do not go together. */
function recipeOf(
  { recipe, schemeFor, dtype, embeddingDtype, format }: RecipeOptions,
  refuse: (message: string) => never,
): OneshotOptions["recipe"] {
  const isScheme = schemeFor !== undefined;
  if (!format && ((dtype && !isScheme) || embeddingDtype)) {
    return refuse("types without --format, expected one that is exported to");
  }
  if (isScheme) return modifierFor(schemeFor, dtype?.[0]);
  return recipe ?? refuse("neither --recipe nor --scheme-for, expected one of them");
}

/** What a run has come to, in one line. */
async function summaryOf(output: string, seconds: number): Promise<string> {
  const { bytes, ratio } = await inspectCheckpoint(output);
  return `${output}: ${formatBytes(bytes)}, ${ratio.toFixed(2)} times smaller than at 16 bits, in ${formatSeconds(seconds)}`;
}

function declareCompress(program: Command): Command {
  return program
    .command("compress")
    .description("compress a checkpoint as a recipe says")
    .argument("<model>", "a checkpoint's folder, or a Hub id")
    .option("-r, --recipe <file>", "recipe in llm-compressor's YAML, or the name of one that layerwise brings: best")
    .addOption(
      new Option(
        "--scheme-for <format>",
        "in place of a recipe: GPTQ with a scheme that the format, or its --dtype, carries",
      ).conflicts(["recipe", "set", "stage"]),
    )
    .option("--set <name=value...>", "values for variables of the recipe")
    .option("--stage <name>", "take only the recipe's stages whose names begin so")
    .option("-d, --dataset <file>", "calibration data: .jsonl, .json, .txt, .csv or .parquet")
    .requiredOption("-o, --output <folder>", "where the compressed checkpoint appears")
    .option("-f, --format <names>", "formats to export to, each into OUTPUT-FORMAT beside the output", names)
    .option("--overwrite", "replace an output folder that exists")
    .option("--resume", "go on where an earlier run of the same command was stopped")
    .option("--num-calibration-samples <n>", "samples to calibrate on (default: 512)", positiveInteger)
    .option("--max-seq-length <n>", "cut samples at this many tokens", positiveInteger)
    .option("--text-column <name>", "column of the text or the messages (default: text)")
    .option("--no-add-special-tokens", "leave out the tokens that the tokenizer puts around a text")
    .option("--no-shuffle", "take the first samples instead of a random choice")
    .option("--seed <n>", "seed of the choice (default: 0)", integer)
    .option("--batch-size <n>", "samples in one batch (default: 1)", positiveInteger)
    .addOption(new Option("--data-collator <kind>", "how a batch gets one length").choices(["truncation", "padding"]))
    .option("--concatenate-data", "join all samples and cut them into blocks")
    .option("--sequential-targets <patterns...>", "modules to compress together (default: the decoder layers)")
    .option("--sequential-targets-per-subgraph <n>", "targets in one subgraph (default: 1)", positiveInteger)
    .option("--one-pass", "cut before every group of linears that read the same value; the model is run once")
    .option("--tracing-ignore <names...>", "functions that the trace does not enter")
    .option("--moe-calibrate-all-experts", "calibrate experts with all tokens, not only with those routed to them")
    .option("--no-propagate-error", "calibrate later layers on the outputs of the uncompressed ones")
    .option("--no-self-check", "do not compare the subgraphs with the whole model first")
    .option("--no-verify", "do not read the output back before it appears")
    .addOption(
      new Option("--precision <dtype>", "dtype to save in").choices(["auto", "F32", "F16", "BF16"]).default("auto"),
    )
    .option("--max-shard-size <size>", "largest file of weights, such as 5GB (default: 20GB)", byteCount)
    .option(
      "--memory-budget <size>",
      "intermediates kept in memory, such as 2GB; more go to a file (default: half of what is free)",
      byteCount,
    )
    .option("--workers <n>", "processes that the calibration samples are shared out to (default: 1)", positiveInteger)
    .option("--profile <file>", "write a trace of where the time goes, for Perfetto or chrome://tracing")
    .option("--dry-run", "predict time, peak memory and output size from the trace; reads no weights, writes nothing")
    .option("--json", "print each event, or what is predicted, as a line of JSON");
}
