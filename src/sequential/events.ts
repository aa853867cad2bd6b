import type { ModuleReport } from "../modifiers/modifier.ts";

/** What a run does with a subgraph. */
export type Phase = "calibrating" | "compressing" | "propagating" | "evaluating";

/** What a run tells while it goes on. */
export type ProgressEvent =
  /** A phase of a subgraph begins; both numbers are of the whole run. */
  | { readonly type: "phase"; readonly phase: Phase; readonly subgraph: number; readonly subgraphs: number }
  /** One batch of a phase is done. */
  | { readonly type: "batch"; readonly batch: number; readonly batches: number }
  /** One module is compressed. */
  | ({ readonly type: "module" } & ModuleReport)
  /** Something was done in another way than asked for, or deserves a look. */
  | { readonly type: "warning"; readonly message: string };

/** How a run is watched and stopped. */
export interface RunControl {
  readonly onProgress?: (event: ProgressEvent) => void;
  /** Stops the run between two batches. */
  readonly signal?: AbortSignal;
}
