import { type Command, InvalidArgumentError, Option } from "commander";

/** Reads a whole number of at least 1. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("Expected a whole number of at least 1.");
  return value;
}

/** Reads a whole number. */
export function integer(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError("Expected a whole number.");
  return value;
}

/** Reads a size in bytes with an optional unit: 500MB, 5GB. */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(KB|MB|GB|TB|)$/i.exec(text);
  if (!match) throw new InvalidArgumentError("Expected a size such as 500MB or 5GB.");
  const power = ["", "KB", "MB", "GB", "TB"].indexOf(match[2].toUpperCase());
  return Number(match[1]) * 1000 ** power;
}

/** Reads names with commas between them. */
export function names(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}

/** Adds the options of every command that exports a checkpoint. */
export function addExportOptions(command: Command): Command {
  return command
    .option("--dtype <types>", "types of the formats, such as Q8_0,F16 (default: what carries the checkpoint)", names)
    .option("--embedding-dtype <type>", "type of the embedding, and of a last projection that is not quantized");
}

/** Adds the options of every command that runs a model. */
export function addRunOptions(command: Command): Command {
  return command
    .addOption(new Option("--device <name>", "where to run: cpu, webgpu, cuda, auto").default("cpu"))
    .option("--threads <n>", "threads for one operation; one for each core by default", positiveInteger);
}

/** A signal that is aborted by Ctrl-C; the second Ctrl-C ends the process at once. */
export function interruptible(): AbortSignal {
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  return controller.signal;
}
