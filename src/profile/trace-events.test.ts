import fc from "fast-check";
import { expect, test } from "vitest";
import type { Span } from "./span.ts";
import { nestedLanes, traceEvents } from "./trace-events.ts";

const span = (name: string, start: number, end: number, kind: Span["kind"] = "step"): Span => ({
  name,
  kind,
  start,
  end,
});

test("spans that overlap are put on different lanes, inner ones stay with the outer one", () => {
  const lanes = nestedLanes([span("b", 1, 3), span("c", 2, 5), span("a", 0, 4), span("d", 4, 6)]);
  expect(lanes.map((lane) => lane.map(({ name }) => name))).toEqual([["a", "b", "d"], ["c"]]);
});

test("in a lane any two spans lie apart or one inside the other, and none is lost", () => {
  const spans = fc.tuple(fc.nat(20), fc.nat(20)).map(([start, length]) => span("", start, start + length));
  fc.assert(
    fc.property(fc.array(spans), (all) => {
      const lanes = nestedLanes(all);
      expect(lanes.flat()).toHaveLength(all.length);
      for (const lane of lanes) {
        for (const [index, a] of lane.entries()) {
          for (const b of lane.slice(index + 1)) expect(a.end <= b.start || b.end <= a.end).toBe(true);
        }
      }
    }),
  );
});

test("a trace names its process and threads, and counts from the profile's start in microseconds", () => {
  const spans = [span("write", 12, 14.5), span("MatMul", 12.25, 12.5, "operator")];
  const events = [...traceEvents({ start: 10, spans, memory: [{ time: 11, bytes: 1000 }] })];
  expect(events.map((event) => JSON.stringify(event)).join("\n")).toMatchInlineSnapshot(`
    "{"ph":"M","pid":1,"tid":0,"name":"process_name","args":{"name":"layerwise"}}
    {"ph":"M","pid":1,"tid":1,"name":"thread_name","args":{"name":"run"}}
    {"ph":"M","pid":1,"tid":1,"name":"thread_sort_index","args":{"sort_index":1}}
    {"ph":"X","pid":1,"tid":1,"name":"write","cat":"step","ts":2000,"dur":2500}
    {"ph":"M","pid":1,"tid":2,"name":"thread_name","args":{"name":"ONNX Runtime"}}
    {"ph":"M","pid":1,"tid":2,"name":"thread_sort_index","args":{"sort_index":2}}
    {"ph":"X","pid":1,"tid":2,"name":"MatMul","cat":"operator","ts":2250,"dur":250}
    {"ph":"C","pid":1,"tid":0,"name":"resident memory","ts":1000,"args":{"bytes":1000}}"
  `);
});
