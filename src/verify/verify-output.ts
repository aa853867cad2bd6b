import { VerificationError } from "../errors.ts";
import { describeScheme } from "../formats/describe-scheme.ts";
import type { ModuleReport } from "../modifiers/modifier.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import { checkCheckpoint, type Source } from "./check-checkpoint.ts";
import { describeAll } from "./check-recipe.ts";
import { findOutliers } from "./outliers.ts";
import { countOf, type Problem, problem } from "./problem.ts";

/** What a run knows of the checkpoint that it has written. */
interface WrittenOutput {
  readonly source: Source;
  /** What was to be quantized. */
  readonly quantization: ModelQuantization;
  readonly reports: readonly ModuleReport[];
  readonly signal?: AbortSignal;
}

/** Between layers, the errors of outputs differ by less, in dB. */
const FLOOR = 20;
/** Problems that a message names. */
const NAMED = 10;

/**
 * Reads back what a run has written, before it appears: everything that can be told from files alone, and whether the error
 * of a module, as its modifier reported it, is far out of line. Nothing is run, and of the source no weight is read.
 *
 * @throws VerificationError naming what is wrong
 */
export async function verifyOutput(folder: string, written: WrittenOutput): Promise<void> {
  const { source, quantization, signal } = written;
  const asked = describeAll(source.model, quantization);
  const { problems } = await checkCheckpoint(folder, { source, asked, signal });
  expectNone(folder, [...problems, ...judgeReports(written)]);
}

/** @throws VerificationError naming the first of the problems that were found in what was written, if there are any */
export function expectNone(folder: string, all: readonly Problem[]): void {
  if (all.length === 0) return;
  const others = all.length > NAMED ? [`and ${all.length - NAMED} more`] : [];
  const lines = [...all.slice(0, NAMED).map(({ message }) => message), ...others];
  throw new VerificationError(
    `${folder}: ${countOf(all)} in what was written, expected none. Pass --no-verify to take it as it is.\n${lines.join("\n")}`,
  );
}

/** Of a module that several modifiers report on, the last report counts: that of the one that quantizes. */
function judgeReports({ source, quantization, reports }: WrittenOutput): Problem[] {
  const modules = new Map(source.model.namedModules());
  const errors = new Map<string, number>();
  for (const { module, errorInDecibels } of reports)
    if (errorInDecibels !== undefined) errors.set(module, errorInDecibels);
  const measured = [...errors].flatMap(([path, error]) => {
    const module = modules.get(path);
    const scheme = module && quantization.schemes.get(module);
    return scheme ? [{ path, kind: describeScheme(scheme), value: -error }] : [];
  });
  return findOutliers(measured, FLOOR).map(({ path, value, typical }) =>
    problem(
      path,
      `the error of its output is ${(-value).toFixed(1)} dB`,
      `about ${(-typical).toFixed(1)} dB as of its peers`,
      "Calibrate with more samples, or add it to ignore.",
    ),
  );
}
