import { expect, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import { wrap } from "../fx/function.ts";
import type { Graph } from "../fx/graph.ts";
import { f32, i64 } from "../fx/types.ts";
import { add, silu } from "../ops/arithmetic.ts";
import { rotaryTable } from "../ops/rotary.ts";
import { splitAtOpaque } from "./segments.ts";

const twice = wrap(
  "twice",
  ([x]) => x,
  (x) => x,
);

test("a graph of operators is one segment", () => {
  const graph = traceFunction((x) => silu(add(x, x)), { x: f32(3) });
  expect(segmentNames(graph)).toEqual([{ compiled: ["add", "silu"], opaque: [] }]);
});

test("an operator runs after every opaque call that it depends on, all others before", () => {
  const graph = traceFunction((x) => add(twice(silu(x)), add(x, x)), { x: f32(3) });
  expect(segmentNames(graph)).toEqual([
    { compiled: ["silu", "add"], opaque: ["twice"] },
    { compiled: ["add_1"], opaque: [] },
  ]);
});

test("opaque calls that follow one another share a segment", () => {
  const graph = traceFunction((x) => silu(twice(twice(x))), { x: f32(3) });
  expect(segmentNames(graph)).toEqual([
    { compiled: [], opaque: ["twice", "twice_1"] },
    { compiled: ["silu"], opaque: [] },
  ]);
});

test("opaque calls that do not depend on one another share a segment", () => {
  const graph = traceFunction((x, y) => add(twice(silu(x)), twice(y)), { x: f32(3), y: f32(3) });
  expect(segmentNames(graph)).toEqual([
    { compiled: ["silu"], opaque: ["twice", "twice_1"] },
    { compiled: ["add"], opaque: [] },
  ]);
});

test("an element of a tuple is picked where it can be read", () => {
  const graph = traceFunction(
    (positions, frequencies) => {
      const [cos, sin] = rotaryTable(positions, twice(frequencies), { scaling: 1 });
      return add(twice(cos), sin);
    },
    { positions: i64(1, "seq"), frequencies: f32(4) },
  );
  expect(segmentNames(graph)).toEqual([
    { compiled: [], opaque: ["twice"] },
    { compiled: ["rotary_table", "getitem", "getitem_1"], opaque: ["twice_1"] },
    { compiled: ["add"], opaque: [] },
  ]);
});

function segmentNames(graph: Graph): { compiled: string[]; opaque: string[] }[] {
  const names = (nodes: Graph["nodes"]) => nodes.map(({ name }) => name);
  return splitAtOpaque(graph).map(({ compiled, opaque }) => ({ compiled: names(compiled), opaque: names(opaque) }));
}
