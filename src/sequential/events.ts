import type { FinishedParts } from "../formats/finished-parts.ts";
import type { ModuleReport } from "../modifiers/modifier.ts";

/** What a run does with a subgraph. */
export type Phase = "calibrating" | "compressing" | "propagating" | "evaluating" | "verifying";

/** What a run tells while it goes on. */
export type ProgressEvent =
  /** A phase of a subgraph begins; both numbers are of the whole run. */
  | { readonly type: "phase"; readonly phase: Phase; readonly subgraph: number; readonly subgraphs: number }
  /** One batch of a phase is done. */
  | { readonly type: "batch"; readonly batch: number; readonly batches: number }
  /** One module is compressed. */
  | ({ readonly type: "module" } & ModuleReport)
  /** The run goes on where another was stopped: `subgraphs` are finished. What was told of them is told again after this. */
  | { readonly type: "resumed"; readonly subgraphs: number }
  /** Something was done in another way than asked for, or deserves a look. */
  | { readonly type: "warning"; readonly message: string };

/** How a run is watched and stopped. */
export interface RunControl {
  /** Is told of phases, batches, modules and warnings as they come. */
  readonly onProgress?: (event: ProgressEvent) => void;
  /** Stops the run between two batches. */
  readonly signal?: AbortSignal;
}

/** Tells what an earlier run told of the subgraphs that it finished. */
export function tellFinished(finished: FinishedParts, modifiers: number, { onProgress }: RunControl): void {
  if (finished.count === 0) return;
  onProgress?.({ type: "resumed", subgraphs: finished.count });
  for (let modifier = 0; modifier < modifiers; modifier++)
    for (const report of finished.reports(modifier)) onProgress?.({ type: "module", ...report });
  for (const message of finished.warnings) onProgress?.({ type: "warning", message });
}
