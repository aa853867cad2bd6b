import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { oneshot } from "../src/oneshot.ts";
import { Profiler } from "../src/profile/profiler.ts";
import type { Span } from "../src/profile/span.ts";
import type { TraceEvent } from "../src/profile/trace-events.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const example = (path: string) => fileURLToPath(new URL(`../examples/${path}`, import.meta.url));

/** A small run of the example, with what it tells a profiler. */
async function profiledRun(onePass: boolean): Promise<{ profiler: Profiler; folder: string }> {
  const folder = await temporaryFolder();
  const profiler = new Profiler();
  await oneshot({
    model: example("moby-tiny"),
    recipe: example("gptq-w4a16.yaml"),
    dataset: example("calibration.jsonl"),
    output: join(folder, "output"),
    numCalibrationSamples: 3,
    maxSeqLength: 64,
    threads: 1,
    onePass,
    profiler,
  });
  return { profiler, folder };
}

const isInside = (inner: Span, outer: Span) => outer.start <= inner.start && inner.end <= outer.end;
const ofKind = (spans: readonly Span[], ...kinds: Span["kind"][]) => spans.filter(({ kind }) => kinds.includes(kind));

test.each([false, true])("the spans of a profile follow one another and are nested (one pass: %s)", async (onePass) => {
  const { profiler } = await profiledRun(onePass);
  await profiler.complete();
  const { spans } = profiler;
  const outermost = spans.filter((span) => !spans.some((other) => other !== span && isInside(span, other)));
  const inOrder = outermost.toSorted((a, b) => a.start - b.start);
  expect(inOrder.filter((span, index) => index > 0 && span.start < inOrder[index - 1].end)).toEqual([]);
  expect(ofKind(inOrder, "subgraph").length).toBeGreaterThan(4);

  const within = (inner: readonly Span[], outer: readonly Span[]) =>
    inner.filter((span) => !outer.some((other) => isInside(span, other))).map(({ name }) => name);
  expect(within(ofKind(spans, "batch", "module"), ofKind(spans, "phase"))).toEqual([]);
  expect(within(ofKind(spans, "operator"), ofKind(spans, "run"))).toEqual([]);
  const phases = ofKind(spans, "phase").filter(({ name }) => name !== "preparing");
  expect(within(phases, ofKind(spans, "subgraph"))).toEqual([]);
  expect(ofKind(spans, "module")).toHaveLength(28);
  const steps = new Set(ofKind(spans, "step").map(({ name }) => name));
  expect(steps).toEqual(new Set(["tokenize", "trace", "self-check", "write", "journal", "finish", "verify"]));
  const operators = new Set(ofKind(spans, "operator").map(({ name }) => name));
  expect(operators).toContain("Gemm");
  expect(ofKind(spans, "read").map(({ name }) => name)).toContain("model.layers.3.mlp.down_proj.weight");
});

test("a trace file holds events that viewers nest, and counters of memory", async () => {
  const { profiler, folder } = await profiledRun(false);
  const path = join(folder, "trace.json");
  await profiler.write(path);
  const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse(await readFile(path, "utf8"));
  const complete = traceEvents.filter(({ ph }) => ph === "X") as Required<TraceEvent>[];
  expect(complete).toHaveLength(profiler.spans.length);
  expect(traceEvents.filter(({ ph }) => ph === "C").length).toBe(profiler.memory.length);
  for (const tid of new Set(complete.map(({ tid }) => tid))) {
    const ends: number[] = [];
    for (const { ts, dur } of complete.filter((event) => event.tid === tid)) {
      while (ends.length > 0 && (ends.at(-1) as number) <= ts) ends.pop();
      expect(ts + dur).toBeLessThanOrEqual(ends.at(-1) ?? Number.POSITIVE_INFINITY);
      ends.push(ts + dur);
    }
  }
});

test("what ONNX Runtime writes is deleted", async () => {
  const { profiler } = await profiledRun(true);
  await profiler.complete();
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith(`layerwise-profile-${process.pid}-`));
  expect(left).toEqual([]);
});

test("a file that cannot be written is an error that names it", async () => {
  const folder = await temporaryFolder();
  await expect(new Profiler().write(join(folder, "missing", "trace.json"))).rejects.toThrow(
    /missing\/trace\.json: cannot be written, expected room and the right to\. Choose another file\.$/,
  );
});
