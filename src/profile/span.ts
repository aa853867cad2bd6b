/** What kind of work a span is; its innermost kind tells what a moment was spent on. */
export type SpanKind = "step" | "subgraph" | "phase" | "batch" | "module" | "run" | "operator" | "read" | "write";

/** A stretch of time; `start` and `end` in milliseconds of `performance.now()`. */
export interface Span {
  readonly name: string;
  readonly kind: SpanKind;
  readonly start: number;
  readonly end: number;
  /** What a viewer shows of it beside its name. */
  readonly args?: Readonly<Record<string, string | number>>;
}

/** Resident memory of the process at a moment. */
export interface MemorySample {
  /** Milliseconds of `performance.now()`. */
  readonly time: number;
  readonly bytes: number;
}
