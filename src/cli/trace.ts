import type { Command } from "commander";
import { numberLines } from "../fx/print.ts";
import { type SubgraphSummary, traceModel } from "../sequential/trace-model.ts";
import { positiveInteger } from "./options.ts";
import { formatTable } from "./text.ts";

/** `layerwise trace MODEL`. */
export function registerTrace(program: Command): void {
  program
    .command("trace")
    .description("show the subgraphs that a model is compressed in; reads no weights")
    .argument("<model>", "a checkpoint's folder, or a Hub id")
    .option("--sequential-targets <patterns...>", "modules to compress together (default: the decoder layers)")
    .option("--targets-per-subgraph <n>", "targets in one subgraph (default: 1)", positiveInteger)
    .option("--one-pass", "cut before every group of linears that read the same value")
    .option("--ignore <names...>", "functions that the trace does not enter")
    .option("--code", "print the code of each subgraph")
    .option("--json", "print JSON")
    .action(async (model: string, { json, code, ...options }) => {
      const subgraphs = await traceModel({ model, ...options });
      process.stdout.write(
        `${json ? JSON.stringify(subgraphs, null, 2) : code ? codeOf(subgraphs) : tableOf(subgraphs)}\n`,
      );
    });
}

function tableOf(subgraphs: readonly SubgraphSummary[]): string {
  const rows = subgraphs.map(({ targets, inputs, consumed, outputs }, index) => [
    String(index),
    targets.join(" ") || "(none)",
    inputs.map((name) => (consumed.includes(name) ? `${name}*` : name)).join(" "),
    outputs.join(" "),
  ]);
  const table = formatTable(["#", "targets", "inputs (* consumed)", "outputs"], rows);
  return `${table}\n\n${subgraphs.length} subgraphs`;
}

function codeOf(subgraphs: readonly SubgraphSummary[]): string {
  return subgraphs.map(({ code }, index) => `subgraph ${index}\n${numberLines(code)}`).join("\n\n");
}
