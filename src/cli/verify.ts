import type { Command } from "commander";
import type { Fidelity } from "../verify/compare-models.ts";
import { median } from "../verify/outliers.ts";
import { countOf } from "../verify/problem.ts";
import { type Verification, verify } from "../verify/verify.ts";
import { addRunOptions, interruptible, positiveInteger } from "./options.ts";
import { ProgressPrinter } from "./progress.ts";
import { formatTable, printable } from "./text.ts";

/** `layerwise verify OUT --source MODEL`. */
export function registerVerify(program: Command): void {
  const command = program
    .command("verify")
    .description("read a checkpoint back, and tell what is wrong with it; exit code 1 if anything is")
    .argument("<model>", "a checkpoint's folder, a GGUF file, or a Hub id")
    .option("-s, --source <model>", "the model that it was compressed from, to compare it with layer by layer")
    .option("-d, --dataset <file>", "a text file to compare them on (default: a few passages)")
    .option("--windows <n>", "windows from the start of the text (default: 4)", positiveInteger)
    .option("--length <n>", "tokens in a window (default: 128)", positiveInteger)
    .option("--json", "print JSON");
  addRunOptions(command).action(async (model: string, { json, ...options }) => {
    const progress = new ProgressPrinter(process.stderr);
    const onProgress = json ? undefined : progress.onProgress;
    const result = await verify({ ...options, model, onProgress, signal: interruptible() });
    progress.finish();
    process.stdout.write(`${json ? JSON.stringify(result, null, 2) : printable(describe(result))}\n`);
    if (result.problems.length > 0) process.exitCode = 1;
  });
}

function describe({ problems, notes, tensors, compressed, comparisons }: Verification): string {
  const found = `${tensors} tensors, ${compressed} modules of them compressed`;
  return [
    ...comparisons.map(describeFidelity),
    ...notes.map((note) => `note: ${note}`),
    ...problems.map(({ message }) => message),
    problems.length === 0 ? `verified: ${found}, no problem` : `${countOf(problems)} in ${found}`,
  ].join("\n");
}

function describeFidelity({ file, weights, subgraphs, logits }: Fidelity): string {
  const kinds = Object.entries(groupByKind(weights.filter(({ signalToNoise }) => Number.isFinite(signalToNoise))));
  const layers = subgraphs.filter(({ signalToNoise }) => Number.isFinite(signalToNoise));
  const rows = [
    ...kinds.map(([kind, members]) => rowOf(kind, members)),
    ...(layers.length > 0
      ? [
          rowOf(
            "outputs of subgraphs",
            layers.map(({ subgraph, ...rest }) => ({ module: subgraph, ...rest })),
          ),
        ]
      : []),
  ];
  const same = `${(100 * logits.top1Agreement).toFixed(1)}% of ${logits.tokens} next tokens`;
  return [
    formatTable(
      [`${file ? `${file} ` : ""}compared with the source`, "number", "dB", "cosine", "lowest dB", "of"],
      rows,
    ),
    `logits: divergence ${logits.klDivergence.toFixed(4)} nats a token, the same ${same}`,
  ].join("\n");
}

interface Figures {
  readonly module: string;
  readonly signalToNoise: number;
  readonly cosine: number;
}

function groupByKind(weights: Fidelity["weights"]): Record<string, Figures[]> {
  const groups: Record<string, Figures[]> = {};
  for (const weight of weights) {
    const kind = `${weight.module.split(".").at(-1)}, ${weight.weights}`;
    groups[kind] = [...(groups[kind] ?? []), weight];
  }
  return groups;
}

function rowOf(kind: string, members: readonly Figures[]): string[] {
  const lowest = members.reduce((a, b) => (b.signalToNoise < a.signalToNoise ? b : a));
  const [decibels, cosine] = [
    members.map(({ signalToNoise }) => signalToNoise),
    members.map(({ cosine }) => cosine),
  ].map(median);
  return [
    kind,
    String(members.length),
    decibels.toFixed(1),
    cosine.toFixed(4),
    lowest.signalToNoise.toFixed(1),
    lowest.module,
  ];
}
