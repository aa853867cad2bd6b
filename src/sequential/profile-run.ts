import type { Module } from "../nn/module.ts";
import type { Profiler } from "../profile/profiler.ts";
import type { ProgressEvent, RunControl } from "./events.ts";

/** A subgraph or phase that has begun, and when the last thing was told of it. */
interface Open {
  readonly name: string;
  readonly start: number;
  last: number;
}

/**
 * Makes spans of what a run tells: subgraphs, their phases, in these batches and modules. A phase ends with its last batch or
 * module. What comes before the first phase is preparation.
 */
class EventSpans {
  readonly #start = performance.now();
  #subgraph?: Open & { readonly index: number };
  #phase?: Open;
  #isPrepared = false;

  constructor(private readonly profiler: Profiler) {}

  readonly take = (event: ProgressEvent): void => {
    const now = performance.now();
    this.profiler.sampleMemory();
    if (event.type === "phase") this.#beginPhase(event, now);
    else if (event.type === "batch") this.#addPart("batch", `batch ${event.batch + 1}`, now, now);
    // Modules that are compressed together report one after another, each its share of the time.
    else if (event.type === "module" && this.#phase)
      this.#addPart("module", event.module, Math.min(this.#phase.last + 1000 * event.seconds, now), now);
  };

  /** Ends what is open. */
  close(now = performance.now()): void {
    this.profiler.sampleMemory();
    this.#endPreparation(now);
    this.#endPhase(now);
    this.#endSubgraph();
  }

  #beginPhase({ phase, subgraph: index }: Extract<ProgressEvent, { type: "phase" }>, now: number): void {
    this.#endPreparation(now);
    this.#endPhase(now);
    if (this.#subgraph?.index !== index) {
      this.#endSubgraph();
      this.#subgraph = { name: `subgraph ${index + 1}`, index, start: now, last: now };
    }
    this.#phase = { name: phase, start: now, last: now };
  }

  /** A part of the open phase, from the end of the one before; what an earlier run told belongs to none. */
  #addPart(kind: "batch" | "module", name: string, end: number, now: number): void {
    if (!(this.#phase && this.#subgraph)) return;
    this.profiler.add({ name, kind, start: this.#phase.last, end });
    this.#phase.last = end;
    this.#subgraph.last = now;
  }

  #endPreparation(now: number): void {
    if (!this.#isPrepared) this.profiler.add({ name: "preparing", kind: "phase", start: this.#start, end: now });
    this.#isPrepared = true;
  }

  #endPhase(now: number): void {
    if (!(this.#phase && this.#subgraph)) return;
    const { name, start, last } = this.#phase;
    const end = last > start ? Math.max(last, this.#subgraph.last) : now;
    this.profiler.add({ name, kind: "phase", start, end });
    this.#subgraph.last = end;
    this.#phase = undefined;
  }

  #endSubgraph(): void {
    if (!this.#subgraph) return;
    const { name, start, last } = this.#subgraph;
    this.profiler.add({ name, kind: "subgraph", start, end: last });
    this.#subgraph = undefined;
  }
}

/** Runs `run` with options that let `profiler` hear what is told; without a profiler, as they are. */
export async function profileRun<Options extends RunControl & { readonly profiler?: Profiler }>(
  options: Options,
  run: (options: Options) => Promise<void>,
): Promise<void> {
  const { profiler, onProgress } = options;
  if (!profiler) return run(options);
  const spans = new EventSpans(profiler);
  const told = (event: ProgressEvent) => {
    spans.take(event);
    onProgress?.(event);
  };
  await run({ ...options, onProgress: told }).finally(() => spans.close());
}

/** Lets a profiler, if there is one, time every read of a weight. */
export function profileReads(model: Module, profiler: Profiler | undefined): void {
  if (!profiler) return;
  for (const [, parameter] of model.namedParameters()) {
    const { source } = parameter;
    if (!source) continue;
    const span = { name: source.name, kind: "read" } as const;
    const { readFloat32 } = source;
    parameter.source = {
      ...source,
      read: (buffers) => profiler.time(span, () => source.read(buffers)),
      readFloat32: readFloat32 && ((buffers) => profiler.time(span, () => readFloat32(buffers))),
    };
  }
}
