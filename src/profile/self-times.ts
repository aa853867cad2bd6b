import type { Span } from "./span.ts";

/** Time that was spent on one kind of work in one phase. */
export interface SelfTime {
  /** The phase or step of the run. */
  readonly phase: string;
  /** An operator of ONNX Runtime, what is read or written, or what is left: JavaScript and the kernels. */
  readonly work: string;
  readonly milliseconds: number;
}

/**
 * Splits the time of a run: each moment belongs to the span that was begun last of those that are open then, in the phase that
 * is open. The longest first; together they are all the time in which any span is open.
 */
export function selfTimes(spans: readonly Span[]): SelfTime[] {
  const totals = new Map<string, SelfTime>();
  const open: Span[] = [];
  let since = 0;
  for (const { time, span, begins } of boundaries(spans)) {
    if (open.length > 0 && time > since) {
      const [phase, work] = [phaseOf(open), workOf(open.at(-1) as Span)];
      const key = JSON.stringify([phase, work]);
      const milliseconds = (totals.get(key)?.milliseconds ?? 0) + time - since;
      totals.set(key, { phase, work, milliseconds });
    }
    since = time;
    if (begins) open.push(span);
    else open.splice(open.lastIndexOf(span), 1);
  }
  return [...totals.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Every begin and end in order; of those at one moment, ends first, and outer spans begin before inner ones. */
function boundaries(spans: readonly Span[]) {
  const lasting = spans.filter(({ start, end }) => end > start);
  const begins = lasting.map((span) => ({ time: span.start, span, begins: true }));
  const ends = lasting.map((span) => ({ time: span.end, span, begins: false }));
  return [...begins, ...ends].sort(
    (a, b) => a.time - b.time || Number(a.begins) - Number(b.begins) || b.span.end - a.span.end,
  );
}

function phaseOf(open: readonly Span[]): string {
  return open.findLast(({ kind }) => kind === "phase" || kind === "step")?.name ?? "between phases";
}

function workOf({ kind, name }: Span): string {
  switch (kind) {
    case "operator":
      return name;
    case "run":
      return "ONNX Runtime, between operators";
    case "read":
      return "reading weights";
    case "write":
      return name;
    default:
      return "JavaScript and kernels";
  }
}
