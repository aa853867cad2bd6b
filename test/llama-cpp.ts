import {
  type ControlledEvaluateInputItem,
  getLlama,
  type Llama,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { onTestFinished } from "vitest";

/** The prebuilt llama.cpp, on the CPU: nothing is downloaded or compiled. */
let library: Promise<Llama> | undefined;

/** Opens a GGUF file; it is closed when the test is finished. */
export async function openGguf(path: string): Promise<LlamaModel> {
  library ??= getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    maxThreads: 1,
  });
  const model = await (await library).loadModel({ modelPath: path, gpuLayers: 0, useMmap: false });
  onTestFinished(() => model.dispose());
  return model;
}

/** The ids that llama.cpp cuts a text into; special tokens in it are taken for such, as tokenizer.json's are. */
export function tokenize(model: LlamaModel, text: string): number[] {
  return [...model.tokenize(text, true)];
}

/** The `count` largest logits after each of `tokens`, by id. */
export async function topLogits(
  model: LlamaModel,
  tokens: readonly number[],
  count: number,
): Promise<Map<number, number>[]> {
  const context = await model.createContext({
    contextSize: tokens.length + 8,
    batchSize: tokens.length,
    threads: 1,
    flashAttention: false, // its half precision, and the cache's, are what tiny models feel
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  try {
    const filter = { tokens: [], includeTop: count };
    const items = tokens.map(
      (token): ControlledEvaluateInputItem => [token as Token, { generateNext: { logits: { filter } } }],
    );
    const results = await context.getSequence().controlledEvaluate(items);
    return results.map((result) => new Map([...(result?.next.logits ?? [])].map(([token, logit]) => [token, logit])));
  } finally {
    await context.dispose();
  }
}
