import { expect, test } from "vitest";
import { createModel } from "../src/models/registry.ts";
import { CompiledGraph } from "../src/sequential/compiled-graph.ts";
import { dispatchForSequential } from "../src/sequential/dispatch.ts";
import { traceSubgraphs } from "../src/sequential/trace-subgraphs.ts";
import { readFixtureConfig } from "./fixture-model.ts";

const qwen2 = { use_sliding_window: true, sliding_window: 4, layer_types: null, max_window_layers: 3 };

test.each<[name: string, changes: Record<string, unknown>, layers: number, sessions: number]>([
  ["llama", {}, 2, 1],
  ["llama", {}, 5, 1],
  ["mistral", {}, 5, 1],
  ["qwen2", qwen2, 5, 2], // layers with a window read a mask, those without need none
])(
  "%s: decoder layers of one shape share a compiled session: case %#",
  async (name, changes, num_hidden_layers, sessions) => {
    const model = createModel({ ...readFixtureConfig(name), ...changes, num_hidden_layers });
    const dispatched = await dispatchForSequential(model, { device: "cpu", threads: 1 });
    const sample = { input_ids: { dtype: "I64", shape: [1, 4] } } as const;
    const parts = traceSubgraphs(model, sample, model.noSplitModules, [], { boundary: "target-closes" });
    const layers = parts.slice(1, -1); // the first also embeds, the last is norm and head
    expect(layers).toHaveLength(num_hidden_layers - 1);

    const before = dispatched.runtime.sessionCount;
    for (const layer of layers) await CompiledGraph.compile(layer, dispatched);
    expect(dispatched.runtime.sessionCount - before).toBe(sessions);
  },
);
