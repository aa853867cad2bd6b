import { expect, test } from "vitest";
import { selfTimes } from "./self-times.ts";
import type { Span, SpanKind } from "./span.ts";

const span = (kind: SpanKind, name: string, start: number, end: number): Span => ({ kind, name, start, end });

test("each moment belongs to the innermost span, in its phase", () => {
  const spans = [
    span("subgraph", "subgraph 1", 0, 20),
    span("phase", "calibrating", 0, 12),
    span("batch", "batch 1", 0, 10),
    span("run", "run", 1, 9),
    span("operator", "MatMul", 2, 5),
    span("operator", "MatMul", 5, 8),
    span("step", "write", 20, 21),
  ];
  expect(selfTimes(spans)).toEqual([
    { phase: "between phases", work: "JavaScript and kernels", milliseconds: 8 },
    { phase: "calibrating", work: "MatMul", milliseconds: 6 },
    { phase: "calibrating", work: "JavaScript and kernels", milliseconds: 4 },
    { phase: "calibrating", work: "ONNX Runtime, between operators", milliseconds: 2 },
    { phase: "write", work: "JavaScript and kernels", milliseconds: 1 },
  ]);
});

test("time in which nothing is open is not counted", () => {
  expect(selfTimes([span("step", "a", 0, 1), span("step", "a", 5, 7)])).toEqual([
    { phase: "a", work: "JavaScript and kernels", milliseconds: 3 },
  ]);
});
