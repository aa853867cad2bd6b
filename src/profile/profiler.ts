import { writeFile } from "node:fs/promises";
import { CheckpointError } from "../errors.ts";
import type { MemorySample, Span } from "./span.ts";
import { traceEvents } from "./trace-events.ts";

/** Collects what a run spends its time on. What is not given one is not timed, and pays nothing. */
export class Profiler {
  /** When it was made, in milliseconds of `performance.now()`. */
  readonly start = performance.now();
  readonly #spans: Span[] = [];
  readonly #memory: MemorySample[] = [];
  readonly #sources: (() => Promise<Iterable<Span>>)[] = [];

  /** All spans so far, in no order; those of sources once the profile is complete. */
  get spans(): readonly Span[] {
    return this.#spans;
  }

  /** Resident memory, at every sample. */
  get memory(): readonly MemorySample[] {
    return this.#memory;
  }

  /** Notes work that was timed elsewhere. */
  add(span: Span): void {
    this.#spans.push(span);
  }

  /** Notes the resident memory of this moment. */
  sampleMemory(): void {
    this.#memory.push({ time: performance.now(), bytes: process.memoryUsage.rss() });
  }

  /** Runs `work` and notes how long it took, be it that it failed. */
  async time<Result>(
    { name, kind, args }: Omit<Span, "start" | "end">,
    work: () => Result | Promise<Result>,
  ): Promise<Result> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.add({ name, kind, args, start, end: performance.now() });
    }
  }

  /** Lets `collect` give spans that are only known once the run is over. */
  addSource(collect: () => Promise<Iterable<Span>>): void {
    this.#sources.push(collect);
  }

  /** Takes the spans of all sources. */
  async complete(): Promise<void> {
    for (const collect of this.#sources.splice(0)) for (const span of await collect()) this.add(span);
  }

  /**
   * Completes the profile and writes it in the Trace Event Format, which chrome://tracing and Perfetto open.
   *
   * @throws CheckpointError where the file cannot be written
   */
  async write(path: string): Promise<void> {
    await this.complete();
    await writeFile(path, printEvents(traceEvents(this))).catch((cause) => {
      throw new CheckpointError(`${path}: cannot be written, expected room and the right to. Choose another file.`, {
        cause,
      });
    });
  }
}

/** Runs `work`, timed as a step of the run if there is a profiler. */
export async function timeStep<Result>(
  profiler: Profiler | undefined,
  name: string,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  return profiler ? profiler.time({ name, kind: "step" }, work) : work();
}

/** JSON with an event on each line. */
function* printEvents(events: Iterable<object>): Generator<string> {
  let separator = '{"displayTimeUnit":"ms","traceEvents":[\n';
  for (const event of events) {
    yield separator + JSON.stringify(event);
    separator = ",\n";
  }
  yield "\n]}\n";
}
