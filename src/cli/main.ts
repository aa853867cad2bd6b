#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";
import { Command } from "commander";
import { InterruptedError, LayerwiseError } from "../errors.ts";
import { version } from "../version.ts";
import { registerCompress } from "./compress.ts";
import { registerEval } from "./eval.ts";
import { registerExport } from "./export.ts";
import { registerInspect } from "./inspect.ts";
import { printable } from "./text.ts";
import { registerTrace } from "./trace.ts";
import { registerVerify } from "./verify.ts";

/** What a shell calls a program that was interrupted: 128 + SIGINT. */
const INTERRUPTED = 130;

// Large arrays that come and go make V8 mark a small heap again and again, on threads that the kernels want: a third of the time.
setFlagsFromString("--no-incremental-marking");

const program = new Command("layerwise")
  .description("Compress Hugging Face language models, one subgraph at a time.")
  .version(version);
const commands = [registerCompress, registerTrace, registerInspect, registerEval, registerVerify, registerExport];
for (const register of commands) register(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Prints an error for a person; what is not the user's to mend keeps its stack. Returns the exit code. */
function report(error: unknown): number {
  const interrupted = error instanceof InterruptedError && isAbort(error.cause);
  if (interrupted || isAbort(error)) {
    process.stderr.write(
      `interrupted: ${interrupted ? error.message.split("\n").at(-1) : "nothing was left behind"}\n`,
    );
    return INTERRUPTED;
  }
  const text = error instanceof LayerwiseError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`layerwise: ${printable(text ?? "")}\n`);
  return 1;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
