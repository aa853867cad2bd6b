import type { Command } from "commander";
import { evaluate } from "../evaluate/evaluate.ts";
import { addRunOptions, interruptible, positiveInteger } from "./options.ts";
import { ProgressPrinter } from "./progress.ts";

/** `layerwise eval MODEL --dataset D`. */
export function registerEval(program: Command): void {
  const command = program
    .command("eval")
    .description("perplexity of a checkpoint, dense or compressed, on a text")
    .argument("<model>", "a checkpoint's folder, or a Hub id")
    .requiredOption("-d, --dataset <file>", "a text file")
    .option("--windows <n>", "windows from the start of the text (default: 32)", positiveInteger)
    .option("--length <n>", "tokens in a window (default: 512)", positiveInteger)
    .option("--json", "print JSON");
  addRunOptions(command).action(async (model: string, { json, ...options }) => {
    const progress = new ProgressPrinter(process.stderr);
    const { onProgress } = progress;
    const control = { onProgress: json ? undefined : onProgress, signal: interruptible() };
    const result = await evaluate({ ...options, model, ...control });
    progress.finish();
    const { perplexity, tokens } = result;
    process.stdout.write(
      json ? `${JSON.stringify(result)}\n` : `perplexity ${perplexity.toFixed(3)} over ${tokens} tokens\n`,
    );
  });
}
