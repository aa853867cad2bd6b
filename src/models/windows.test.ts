import { expect, test } from "vitest";
import type { AttributeValue } from "../fx/node.ts";
import { Tracer } from "../fx/tracer.ts";
import { i64 } from "../fx/types.ts";
import { createModel } from "./registry.ts";

const size = { vocab_size: 32, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 4, num_attention_heads: 4 };
const sliding = "sliding_attention";
const full = "full_attention";

test("every layer of a Llama sees the whole text", () => {
  expect(windowsOf({ model_type: "llama", sliding_window: 8 })).toEqual([null, null, null, null]);
});

test.each<[changes: Record<string, unknown>, window: number | null]>([
  [{}, 4096],
  [{ sliding_window: 8 }, 8],
  [{ sliding_window: null }, null],
])("all layers of a Mistral with %o have one window", (changes, window) => {
  expect(windowsOf({ model_type: "mistral", ...changes })).toEqual([window, window, window, window]);
});

test.each<[changes: Record<string, unknown>, windows: (number | null)[]]>([
  [{}, [null, null, null, null]],
  [{ sliding_window: 8 }, [null, null, null, null]],
  [{ sliding_window: 8, max_window_layers: 0 }, [null, null, null, null]],
  [{ sliding_window: 8, layer_types: [sliding, full, full, full] }, [null, null, null, null]],
  [{ use_sliding_window: true, sliding_window: 8 }, [null, null, null, null]], // max_window_layers is 28
  [{ use_sliding_window: true, sliding_window: 8, max_window_layers: 2 }, [null, null, 8, 8]],
  [{ use_sliding_window: true, max_window_layers: 3 }, [null, null, null, 4096]],
  [{ use_sliding_window: true, sliding_window: null, max_window_layers: 0 }, [null, null, null, null]],
  [
    { use_sliding_window: true, sliding_window: 8, max_window_layers: 4, layer_types: [sliding, full, sliding, full] },
    [8, null, 8, null],
  ],
])("layers of a Qwen2 or Qwen3 with %o slide where the configuration says so", (changes, windows) => {
  expect(windowsOf({ model_type: "qwen2", ...changes })).toEqual(windows);
  expect(windowsOf({ model_type: "qwen3", ...changes })).toEqual(windows);
});

test.each<[changes: Record<string, unknown>, windows: (number | null)[]]>([
  [{ model_type: "gemma2" }, [4096, null, 4096, null]],
  [{ model_type: "gemma2", sliding_window: 8, layer_types: [full, full, sliding, full] }, [null, null, 8, null]],
  [{ model_type: "gemma3_text", sliding_window: 8 }, [8, 8, 8, 8]], // the sixth would see all
  [{ model_type: "gemma3_text", sliding_window: 8, sliding_window_pattern: 2 }, [8, null, 8, null]],
  [{ model_type: "gemma3_text", layer_types: [full, sliding, sliding, full] }, [null, 4096, 4096, null]],
])("layers of a Gemma with %o slide by turns, or as the configuration says", (changes, windows) => {
  expect(windowsOf(changes)).toEqual(windows);
});

test.each<[changes: Record<string, unknown>, windows: (number | null)[]]>([
  [{ model_type: "phi3" }, [null, null, null, null]],
  [{ model_type: "phi3", sliding_window: 8 }, [8, 8, 8, 8]],
  [{ model_type: "mixtral" }, [null, null, null, null]],
  [{ model_type: "mixtral", sliding_window: 8 }, [8, 8, 8, 8]],
  [{ model_type: "qwen3_moe", sliding_window: 8 }, [null, null, null, null]],
  [{ model_type: "qwen3_moe", sliding_window: 8, use_sliding_window: true }, [8, 8, 8, 8]],
  [{ model_type: "qwen2_moe", sliding_window: 0 }, [null, null, null, null]],
  [
    { model_type: "qwen2_moe", sliding_window: 8, use_sliding_window: true, max_window_layers: 2 },
    [8, null, null, null],
  ],
  [{ model_type: "qwen2_moe", sliding_window: 8, use_sliding_window: true }, [8, null, 8, null]],
])("%o slides where transformers does", (changes, windows) => {
  expect(windowsOf({ num_experts: 2, num_experts_per_tok: 1, num_local_experts: 2, ...changes })).toEqual(windows);
});

/** The window of the mask that each layer's attention reads. */
function windowsOf(changes: Record<string, unknown>): AttributeValue[] {
  const types = { input_ids: i64("batch", "seq"), attention_mask: i64("batch", "seq") };
  const constants = { position_ids: null, use_cache: false };
  const graph = new Tracer().trace(createModel({ ...size, ...changes }), types, constants);
  return graph.nodes.filter(({ targetName }) => targetName === "attention").map(({ inputs }) => inputs[3].attrs.window);
}
