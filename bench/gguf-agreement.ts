// How often llama.cpp's best next token is that of our own evaluation, and how often llama.cpp agrees with itself where it adds up
// in another order: SmolLM2-135M in F16 and Q8_0, under teacher forcing.
//
//   npm run bench:agreement -- [--model DIR] [--tokens N]
//
// MODEL is a folder or a Hub id. The tokens are the first N (256) of a speech and of later chapters of Moby-Dick each.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { getLlama, type Llama, LlamaLogLevel, type Token } from "node-llama-cpp";
import type { Node } from "../src/fx/node.ts";
import type { Operand } from "../src/fx/traceable.ts";
import {
  defineOp,
  ExportSource,
  exportModel,
  Linear,
  loadTokenizer,
  onnx,
  resolveModel,
  Tensor,
} from "../src/index.ts";
import { int64 } from "../src/ops/constants.ts";
import { runWhole } from "../test/run-model.ts";
import { here, markdownTable } from "./measure.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    tokens: { type: "string", default: "256" },
  },
});
const model = await resolveModel(values.model);
const count = Number(values.tokens);

/** Logits that are kept of each place, and those whose differences are measured. */
const [KEPT, COMPARED] = [100, 20];

/** The largest logits after each token, by id, from the largest on. */
type Logits = ReadonlyMap<number, number>[];

const HALF = 10; // ONNX's number for float16
const FLOAT = 1;
const number = (value: number) => new Tensor("F32", [1], Float32Array.of(value));

/** x as llama.cpp's x86 kernels round it for Q8_0: blocks of 32, codes by max / 127, which is stored in float16. */
const roundToQ8 = defineOp<[x: Operand]>({
  name: "round_to_q8_0",
  infer: ([x]) => x,
  lower([x], _, [{ shape }]) {
    const width = Number(shape.at(-1));
    const blocks = onnx("Reshape", [x, int64(1, -1, width / 32, 32)]);
    const largest = onnx("ReduceMax", [onnx("Abs", [blocks]), int64(3)], { keepdims: 1 });
    const inverse = onnx("Div", [number(127), onnx("Max", [largest, number(1e-30)])]);
    const codes = onnx("Round", [onnx("Mul", [blocks, inverse])]);
    const half = onnx("Cast", [onnx("Div", [largest, number(127)])], { to: HALF });
    return onnx("Reshape", [onnx("Mul", [codes, onnx("Cast", [half], { to: FLOAT })]), int64(1, -1, width)]);
  },
});

/** Our own logits of a file, with inputs as they are or rounded as llama.cpp rounds them. */
async function ownLogits(file: string, tokens: readonly number[], round?: (x: Node) => Node): Promise<Logits> {
  const source = await ExportSource.open(file);
  try {
    for (const [, module] of source.model.namedModules())
      if (module instanceof Linear && module !== source.model.lm_head) module.quantizeInput = round;
    const batch = { input_ids: new Tensor("I64", [1, tokens.length], BigInt64Array.from(tokens, BigInt)) };
    const { shape, data } = (await runWhole(source.model, batch)) as Tensor<"F32">;
    return tokens.map((_, row) => {
      const logits = data.subarray(row * shape[2], (row + 1) * shape[2]);
      const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, KEPT);
      return new Map(best.map((token) => [token, logits[token]]));
    });
  } finally {
    await source.close();
  }
}

interface LlamaSettings {
  readonly oneByOne?: boolean;
  readonly cache?: "F32" | "F16";
  readonly threads?: number;
}

/** llama.cpp's logits of a file. */
async function theirLogits(
  llama: Llama,
  file: string,
  tokens: readonly number[],
  { oneByOne = false, cache = "F32", threads = 1 }: LlamaSettings = {},
): Promise<Logits> {
  const loaded = await llama.loadModel({ modelPath: file, gpuLayers: 0, useMmap: false });
  const context = await loaded.createContext({
    contextSize: tokens.length + 8,
    batchSize: oneByOne ? 1 : tokens.length,
    threads,
    flashAttention: false,
    experimentalKvCacheKeyType: cache,
    experimentalKvCacheValueType: cache,
  });
  const sequence = context.getSequence();
  const result: Logits = [];
  const filter = { tokens: [], includeTop: KEPT };
  const step = oneByOne ? 1 : tokens.length;
  for (let at = 0; at < tokens.length; at += step) {
    const items = tokens
      .slice(at, at + step)
      .map((token) => [token as Token, { generateNext: { logits: { filter } } }] as [Token, object]);
    for (const found of await sequence.controlledEvaluate(items))
      result.push(new Map<number, number>([...(found?.next.logits ?? [])]));
  }
  await context.dispose();
  await loaded.dispose();
  return result;
}

/** How often the best tokens are the same, the root mean square of differences of two logits, and the largest margin where they are not. */
function compare(one: Logits, other: Logits): string[] {
  let [same, squares, margin] = [0, 0, 0];
  for (const [place, logits] of one.entries()) {
    const [[best, value]] = logits;
    const [[theirs]] = other[place];
    if (best === theirs) same++;
    else margin = Math.max(margin, value - (logits.get(theirs) ?? Number.NEGATIVE_INFINITY));
    const changes = [...logits].slice(0, COMPARED).flatMap(([token, logit]) => {
      const found = other[place].get(token);
      return found === undefined ? [] : [found - logit];
    });
    const mean = changes.reduce((sum, change) => sum + change, 0) / changes.length;
    squares += (2 * changes.reduce((sum, change) => sum + (change - mean) ** 2, 0)) / (changes.length - 1);
  }
  const share = `${((100 * same) / one.length).toFixed(1)} %`;
  return [share, Math.sqrt(squares / one.length).toFixed(4), margin.toFixed(3)];
}

const root = await mkdtemp(join(tmpdir(), "layerwise-agreement-"));
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
  maxThreads: 2,
});
try {
  const output = join(root, "gguf");
  await exportModel({ model, format: ["gguf"], dtype: ["F16", "Q8_0"], output, verify: false });
  const fileOf = (dtype: string) => join(output, `${model.split("/").filter(Boolean).at(-1)}-${dtype}.gguf`);
  const [half, bytes] = [fileOf("F16"), fileOf("Q8_0")];
  const tokenizer = await loadTokenizer(model);
  const texts = await Promise.all(
    ["state-of-the-union.txt", "moby-dick.txt"].map(async (name) => {
      const text = (await readFile(here(`data/${name}`), "utf8")).slice(0, 16 * count);
      return tokenizer.encode(text, { addSpecialTokens: false }).slice(0, count);
    }),
  );
  const onBoth = async (logitsOf: (tokens: readonly number[]) => Promise<Logits>): Promise<Logits> => {
    const found: Logits = [];
    for (const tokens of texts) found.push(...(await logitsOf(tokens)));
    return found;
  };
  const theirs = (file: string, settings?: LlamaSettings) =>
    onBoth((tokens) => theirLogits(llama, file, tokens, settings));
  const own = (file: string, round?: (x: Node) => Node) => onBoth((tokens) => ownLogits(file, tokens, round));
  const [ownHalf, theirHalf, ownBytes, theirBytes] = [
    await own(half),
    await theirs(half),
    await own(bytes),
    await theirs(bytes),
  ];
  const pairs: readonly (readonly [string, Logits, Logits])[] = [
    ["F16: ours and llama.cpp's", ownHalf, theirHalf],
    ["Q8_0: llama.cpp's, one thread and two", theirBytes, await theirs(bytes, { threads: 2 })],
    ["Q8_0: llama.cpp's, all tokens at once and one by one", theirBytes, await theirs(bytes, { oneByOne: true })],
    ["Q8_0: llama.cpp's, cache in F32 and in F16", theirBytes, await theirs(bytes, { cache: "F16" })],
    ["Q8_0: ours and llama.cpp's", ownBytes, theirBytes],
    [
      "Q8_0: ours with llama.cpp's rounding of inputs, and llama.cpp's",
      await own(bytes, (x) => roundToQ8(x)),
      theirBytes,
    ],
    ["ours for F16 and for Q8_0", ownHalf, ownBytes],
    ["llama.cpp's for F16 and for Q8_0", theirHalf, theirBytes],
  ];
  const header = ["best next tokens", "the same", "difference of two logits", "largest margin where not"];
  console.log(
    markdownTable(
      header,
      pairs.map(([name, one, other]) => [name, ...compare(one, other)]),
    ),
  );
} finally {
  await llama.dispose();
  await rm(root, { recursive: true, force: true });
}
