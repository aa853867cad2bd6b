import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { exportModel } from "../export/export-model.ts";
import { addExportOptions, byteCount, interruptible, names } from "./options.ts";
import { ProgressPrinter } from "./progress.ts";
import { formatBytes } from "./text.ts";

/** `layerwise export DIR --format F --output O`. */
export function registerExport(program: Command): void {
  const command = program
    .command("export")
    .description("write a checkpoint, compressed or dense, in formats of other runtimes")
    .argument("<model>", "a checkpoint's folder, or a Hub id")
    .requiredOption("-f, --format <names>", "formats, such as gguf", names)
    .requiredOption("-o, --output <folder>", "where the files appear; several formats have a folder each below it")
    .option("--overwrite", "replace an output folder that exists")
    .option("--no-verify", "do not read files back before they appear")
    .option("--max-shard-size <size>", "largest file of weights, such as 5GB", byteCount);
  addExportOptions(command).action(async (model: string, options) => {
    const progress = new ProgressPrinter(process.stderr);
    await exportModel({ ...options, model, onProgress: progress.onProgress, signal: interruptible() });
    progress.finish();
    const files = await readdir(options.output, { recursive: true, withFileTypes: true });
    const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
    for (const path of paths.sort()) process.stdout.write(`${path}: ${formatBytes((await stat(path)).size)}\n`);
  });
}
