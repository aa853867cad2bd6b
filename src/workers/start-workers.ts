import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { RecipeError } from "../errors.ts";
import type { Precision } from "../formats/output-plan.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { createModifiers, modifierTypes } from "../recipe/modifiers.ts";
import { writeRecipe } from "../recipe/write.ts";
import type { DispatchedModel } from "../sequential/dispatch.ts";
import type { CalibrationExecutor } from "../sequential/executor.ts";
import type { Batch } from "../sequential/intermediates.ts";
import { ParallelExecutor } from "../sequential/parallel-executor.ts";
import { threadsForModel } from "../sequential/threads-for-model.ts";
import type { SubgraphOptions } from "../sequential/trace-for-run.ts";
import { ProcessExecutor } from "./process-executor.ts";
import { WorkerProcess } from "./worker-process.ts";

const require = createRequire(import.meta.url);

/** Options of a run that decide which subgraphs it goes through, with which weights. */
interface WorkerOptions extends SubgraphOptions {
  readonly precision?: Precision;
  readonly moeCalibrateAllExperts?: boolean;
}

/** What a worker process is told when it starts: all of it can be sent. */
export interface WorkerSetup {
  /** The checkpoint's folder. */
  readonly folder: string;
  readonly recipe: string;
  readonly options: WorkerOptions;
  readonly device: string;
  readonly threads: number;
  readonly memoryBudget: number;
  /** Its share of the calibration batches. */
  readonly batches: readonly Batch[];
}

/** How a run is spread over processes. */
interface WorkersOptions extends WorkerOptions {
  /** How many. */
  readonly workers: number;
  readonly folder: string;
  readonly modifiers: readonly Modifier[];
  /** Threads of all processes together; one for each core by default. */
  readonly threads?: number;
  /** Bytes of intermediates that all processes together keep in memory. */
  readonly memoryBudget: number;
  readonly signal?: AbortSignal;
  readonly onWarning: (message: string) => void;
}

/**
 * Starts worker processes, each with neighbouring batches of its own.
 *
 * @throws RecipeError for modifiers that no recipe can name: a worker could not make them
 */
export async function startWorkers(
  batches: readonly Batch[],
  dispatched: DispatchedModel,
  options: WorkersOptions,
): Promise<CalibrationExecutor> {
  const setup = setupOf(dispatched, options);
  const shares = shareOut(batches, options.workers);
  if (shares.length < options.workers) {
    const found = `${options.workers} workers for ${batches.length} batches, expected at most as many`;
    options.onWarning(`${found}: ${shares.length} are started.`);
  }
  const threads = Math.max(1, Math.floor((options.threads ?? availableParallelism()) / shares.length));
  const limits = {
    threads: threadsForModel(dispatched.model, batches, threads),
    memoryBudget: options.memoryBudget / shares.length,
  };
  const processes = shares.map(() => WorkerProcess.start(require.resolve("#calibration-worker"), options.signal));
  const executor = new ParallelExecutor(processes.map((process) => new ProcessExecutor(process, dispatched)));
  const start = (process: WorkerProcess, share: number) =>
    process.call("start", [{ ...setup, ...limits, batches: shares[share] }]);
  try {
    await Promise.all(processes.map(start));
    return executor;
  } catch (error) {
    await executor.close();
    throw error;
  }
}

/** What all workers are told alike. */
function setupOf(
  { runtime: { device } }: DispatchedModel,
  { folder, modifiers, ...options }: WorkersOptions,
): Pick<WorkerSetup, "folder" | "recipe" | "device" | "options"> {
  const { precision, moeCalibrateAllExperts, onePass, sequentialTargets, sequentialTargetsPerSubgraph, tracingIgnore } =
    options;
  const cut = { onePass, sequentialTargets, sequentialTargetsPerSubgraph, tracingIgnore };
  const recipe = sendableRecipe(modifiers);
  return { folder, recipe, device, options: { precision, moeCalibrateAllExperts, ...cut } };
}

/** Cuts a list into at most `count` parts of neighbours, as equal as can be and none empty. */
export function shareOut<Item>(items: readonly Item[], count: number): Item[][] {
  const parts = Math.min(count, items.length);
  const bound = (part: number) => Math.floor((part * items.length) / parts);
  return Array.from({ length: parts }, (_, part) => items.slice(bound(part), bound(part + 1)));
}

/** The recipe that makes the same modifiers in another process. An observer of one's own is refused here. */
function sendableRecipe(modifiers: readonly Modifier[]): string {
  const own = modifiers.find(({ name }) => !Object.hasOwn(modifierTypes, name));
  if (own) {
    throw new RecipeError(
      `${own.name}: a modifier of your own, expected one that a recipe can name in other processes. Use one worker.`,
    );
  }
  const recipe = writeRecipe(modifiers);
  createModifiers(recipe);
  return recipe;
}
