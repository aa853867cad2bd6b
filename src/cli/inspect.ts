import type { Command } from "commander";
import { type CheckpointSummary, inspectCheckpoint } from "../formats/inspect.ts";
import { formatBytes, formatTable } from "./text.ts";

/** `layerwise inspect DIR`. */
export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .description("show what is quantized in a checkpoint, how, and how large it is; reads no weights")
    .argument("<folder>", "a checkpoint's folder")
    .option("--json", "print JSON")
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const summary = await inspectCheckpoint(folder);
      process.stdout.write(`${json ? JSON.stringify(summary, null, 2) : describe(summary)}\n`);
    });
}

function describe({ modelType, storage, keysAndValues, ignored, parameters, bytes, ratio }: CheckpointSummary): string {
  const rows = storage.map((part) => [
    part.format,
    part.weights,
    String(part.modules),
    part.parameters.toLocaleString("en"),
    formatBytes(part.bytes),
  ]);
  const total = ["total", "", "", parameters.toLocaleString("en"), formatBytes(bytes)];
  const lines = [
    `model type: ${modelType}`,
    formatTable(["format", "weights", "modules", "parameters", "size"], [...rows, total]),
    `${ratio.toFixed(2)} times smaller than at 16 bits`,
  ];
  if (keysAndValues) lines.push(`keys and values: ${keysAndValues}`);
  if (storage.some(({ format }) => format !== "dense"))
    lines.push(`linear modules left as they are: ${ignored.join(", ") || "none"}`);
  return lines.join("\n");
}
