import type { MemorySample, Span, SpanKind } from "./span.ts";

/** One event of the Trace Event Format, times in microseconds: a span ("X"), a counter ("C") or a name ("M"). */
export interface TraceEvent {
  readonly ph: "X" | "C" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** What goes on beside each other, from top to bottom, and the kinds of spans shown there. */
const TRACKS: readonly (readonly [name: string, kinds: readonly SpanKind[]])[] = [
  ["run", ["step", "subgraph", "phase", "batch", "module"]],
  ["ONNX Runtime", ["run", "operator"]],
  ["weights", ["read"]],
  ["output", ["write"]],
];

const PROCESS = 1;

/** A profile as trace events: on each thread of the trace, spans lie apart or one inside the other. */
export function* traceEvents(profile: {
  readonly start: number;
  readonly spans: readonly Span[];
  readonly memory: readonly MemorySample[];
}): Generator<TraceEvent> {
  const microseconds = (time: number) => Math.round((time - profile.start) * 1000);
  yield { ph: "M", pid: PROCESS, tid: 0, name: "process_name", args: { name: "layerwise" } };
  let tid = 0;
  for (const [track, kinds] of TRACKS) {
    for (const [lane, spans] of nestedLanes(profile.spans.filter(({ kind }) => kinds.includes(kind))).entries()) {
      const thread = { pid: PROCESS, tid: ++tid };
      yield { ph: "M", ...thread, name: "thread_name", args: { name: lane === 0 ? track : `${track} ${lane + 1}` } };
      yield { ph: "M", ...thread, name: "thread_sort_index", args: { sort_index: tid } };
      for (const { name, kind, start, end, args } of spans) {
        const ts = microseconds(start);
        yield { ph: "X", ...thread, name, cat: kind, ts, dur: microseconds(end) - ts, args };
      }
    }
  }
  for (const { time, bytes } of profile.memory)
    yield { ph: "C", pid: PROCESS, tid: 0, name: "resident memory", ts: microseconds(time), args: { bytes } };
}

/** Spreads spans over as few lanes as needed: in each, two spans lie apart or one inside the other. */
export function nestedLanes(spans: readonly Span[]): Span[][] {
  const lanes: Lane[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const free = lanes.find((lane) => lane.hasRoomFor(span));
    const lane = free ?? new Lane();
    if (!free) lanes.push(lane);
    lane.add(span);
  }
  return lanes.map((lane) => lane.spans);
}

/** Spans by start, and the ends of those that were open at the last one: inner ones last. */
class Lane {
  readonly spans: Span[] = [];
  readonly #ends: number[] = [];

  hasRoomFor({ start, end }: Span): boolean {
    while ((this.#ends.at(-1) ?? Number.POSITIVE_INFINITY) <= start) this.#ends.pop();
    return end <= (this.#ends.at(-1) ?? Number.POSITIVE_INFINITY);
  }

  add(span: Span): void {
    this.spans.push(span);
    this.#ends.push(span.end);
  }
}
