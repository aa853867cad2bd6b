import { createReadStream, mkdtempSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Profiler } from "../profile/profiler.ts";
import type { Span } from "../profile/span.ts";

/** What ONNX Runtime writes about one event; times in microseconds since the session was made. */
interface RuntimeEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly op_name?: string; readonly input_type_shape?: readonly Record<string, number[]>[] };
}

/** What ONNX Runtime calls a run of a session. */
const RUN = "model_run";
const KERNEL = "_kernel_time";

/**
 * Times the runs of one session, and the operators inside them by ONNX Runtime's own profiler. It writes a temporary file,
 * which is read and deleted when the profile is completed.
 */
export class SessionProfile {
  readonly #folder = mkdtempSync(join(tmpdir(), `layerwise-profile-${process.pid}-`));
  readonly #starts: number[] = [];
  #end = () => {};

  constructor(private readonly profiler: Profiler) {
    profiler.addSource(() => this.#collect());
  }

  /** Where ONNX Runtime's profiler is to write: the beginning of the file's path. */
  get prefix(): string {
    return join(this.#folder, "session");
  }

  /** @param end - makes ONNX Runtime write the file */
  onEnd(end: () => void): void {
    this.#end = end;
  }

  /** Times one run; the runs of a session go one after another. */
  time<Result>(run: () => Promise<Result>): Promise<Result> {
    this.#starts.push(performance.now());
    return this.profiler.time({ name: "run", kind: "run" }, run);
  }

  async #collect(): Promise<Span[]> {
    try {
      this.#end();
      const [file] = await readdir(this.#folder);
      return file === undefined ? [] : toSpans(await readEvents(join(this.#folder, file)), this.#starts);
    } finally {
      await rm(this.#folder, { recursive: true, force: true });
    }
  }
}

/** The operators and runs in a file of ONNX Runtime's profiler, which has an event on each line. */
async function readEvents(file: string): Promise<RuntimeEvent[]> {
  const events: RuntimeEvent[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (!(line.includes(KERNEL) || line.includes(RUN))) continue;
    const { cat, name, ts, dur, args }: RuntimeEvent = JSON.parse(line.replace(/,$/, ""));
    events.push({ cat, name, ts, dur, args: { op_name: args.op_name, input_type_shape: args.input_type_shape } });
  }
  return events;
}

/**
 * The operators, on the clock of `starts`. When ONNX Runtime's clock began is not told, but a run begins after its call: the
 * latest zero that some run allows is the nearest.
 */
function toSpans(events: readonly RuntimeEvent[], starts: readonly number[]): Span[] {
  const runs = events.filter(({ name }) => name === RUN);
  const zero = runs.reduce((latest, { ts }, index) => Math.max(latest, starts[index] - ts / 1000), 0);
  return events
    .filter(({ name }) => name.endsWith(KERNEL))
    .map(({ name, ts, dur, args: { op_name = name, input_type_shape = [] } }) => ({
      name: op_name,
      kind: "operator",
      start: zero + ts / 1000,
      end: zero + (ts + dur) / 1000,
      args: { node: name.slice(0, -KERNEL.length), inputs: input_type_shape.map(describeInput).join(" ") },
    }));
}

function describeInput(typeAndShape: Readonly<Record<string, readonly number[]>>): string {
  return Object.entries(typeAndShape)
    .map(([type, shape]) => `${type}[${shape.join(",")}]`)
    .join(" ");
}
