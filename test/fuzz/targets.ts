import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { type Checkpoint, openCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { resolveModel } from "../../src/checkpoint/hub.ts";
import { readHeader } from "../../src/checkpoint/safetensors.ts";
import { loadCalibrationData } from "../../src/data/calibration.ts";
import { compileChatTemplate } from "../../src/data/chat-template.ts";
import { loadTokenizer } from "../../src/data/tokenizer.ts";
import { InterruptedError, LayerwiseError } from "../../src/errors.ts";
import { bindCheckpoint } from "../../src/formats/bind-checkpoint.ts";
import { inspectCheckpoint } from "../../src/formats/inspect.ts";
import { createModel } from "../../src/models/registry.ts";
import { observeWeight, weightQParams } from "../../src/modifiers/weight-scales.ts";
import { oneshot } from "../../src/oneshot.ts";
import { createModifiers } from "../../src/recipe/modifiers.ts";
import { completeArgs } from "../../src/schemes/arguments-schema.ts";
import { dequantizeWeight, quantizeWeight } from "../../src/schemes/quantize.ts";
import { traceModel } from "../../src/sequential/trace-model.ts";
import { fromFloat32, toFloat32 } from "../../src/tensor/convert.ts";
import type { FloatDType } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { characterTokenizer } from "../character-tokenizer.ts";
import { mutatedBytes, mutatedJson, mutatedText, mutatedValue } from "./mutations.ts";
import * as valid from "./samples.ts";

/** A reader, and what it is given: it must end in success or in a LayerwiseError. */
export interface FuzzTarget {
  readonly name: string;
  /** Of every thousand inputs, how many this target gets. */
  readonly share: number;
  /** What is checked of one input; `folder` is the target's own, `onEnd` is told of each whether it was accepted. */
  property(folder: string, onEnd: (accepted: boolean) => void): fc.IAsyncProperty<[unknown]>;
}

function target<Input>(
  name: string,
  share: number,
  arbitrary: fc.Arbitrary<Input>,
  run: (input: Input, folder: string) => unknown,
): FuzzTarget {
  const property = (folder: string, onEnd: (accepted: boolean) => void) =>
    fc.asyncProperty(arbitrary, async (input) => {
      try {
        await run(input, folder);
        onEnd(true);
      } catch (error) {
        if (!(error instanceof LayerwiseError)) throw error;
        onEnd(false);
      }
    });
  return { name, share, property: property as FuzzTarget["property"] };
}

const lengths = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n),
);
const wholeFile = valid.safetensors(valid.header, valid.values);

/** safetensors files: bytes changed, a header that says something else, another length, noise. */
const safetensorsFiles = fc.oneof(
  mutatedBytes(wholeFile),
  mutatedJson(valid.headerValue).map((json) => valid.safetensors(valid.encodeHeader(json), valid.values)),
  fc.tuple(mutatedJson(valid.headerValue), lengths).map(([json, length]) => valid.encodeHeader(json, length)),
  fc.uint8Array({ maxLength: 64 }),
);

const strangeNumbers = fc.constantFrom(
  Number.NaN,
  Number.POSITIVE_INFINITY,
  3.4e38,
  -3.4e38,
  1e-45,
  1e-40,
  -0,
  65504,
  1e19,
);

/** The model's file with some values that are not as one expects. */
const strangeValues = fc
  .array(fc.tuple(fc.nat(valid.values.length - 1), fc.integer({ min: 1, max: 32 }), strangeNumbers), {
    minLength: 1,
    maxLength: 3,
  })
  .map((runs) => {
    const values = valid.values.slice();
    for (const [start, length, value] of runs) values.fill(value, start, start + length);
    return valid.safetensors(valid.header, values);
  });

/** A weight's rows with some such values; the dtype it is stored in; bits. */
const weights = fc.record({
  values: fc.array(
    fc.oneof(
      { weight: 30, arbitrary: fc.float({ min: -4, max: 4, noNaN: true }) },
      { weight: 1, arbitrary: fc.oneof(strangeNumbers, fc.float()) },
    ),
    { minLength: 16, maxLength: 16 },
  ),
  dtype: fc.constantFrom<FloatDType>("F32", "BF16", "F16"),
  numBits: fc.integer({ min: 2, max: 8 }),
  symmetric: fc.boolean(),
});

/** Rows whose columns are those that are looked for, and hold anything. */
const strangeRows = fc.array(
  fc.dictionary(
    fc.constantFrom("text", "messages", "input_ids", "attention_mask", "__proto__"),
    fc.oneof(fc.string(), fc.array(fc.nat()), fc.constant(null), fc.anything()),
  ),
  { minLength: 1, maxLength: 3 },
);

/** One file of a checkpoint that is then compressed. */
const brokenFiles = fc.oneof(
  safetensorsFiles.map((bytes) => ["model.safetensors", bytes] as const),
  strangeValues.map((bytes) => ["model.safetensors", bytes] as const),
  mutatedJson(valid.config).map((bytes) => ["config.json", bytes] as const),
  mutatedJson(valid.compressedConfig).map((bytes) => ["config.json", bytes] as const),
  mutatedJson(valid.tokenizerConfig).map((bytes) => ["tokenizer_config.json", bytes] as const),
);

/** The same rows with a member changed, as JSON in the two layouts that are read. */
const changedRows: Readonly<Record<string, fc.Arbitrary<Uint8Array>>> = {
  ".json": mutatedJson(valid.rows),
  ".jsonl": mutatedValue(valid.rows).map((rows) =>
    Buffer.from(
      [rows]
        .flat()
        .map((row) => JSON.stringify(row))
        .join("\n"),
    ),
  ),
};

const dataTargets = Object.entries(valid.dataFiles).map(([extension, bytes]) =>
  target(
    `data set ${extension}`,
    60,
    fc.oneof(mutatedBytes(bytes), changedRows[extension] ?? mutatedBytes(bytes)),
    async (input, folder) => {
      const file = join(folder, `rows${extension}`);
      await writeFile(file, input);
      await calibrate(file);
    },
  ),
);

/** Every reader of the project. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  target("safetensors header", 150, safetensorsFiles, async (bytes, folder) => {
    const file = join(folder, "x.safetensors");
    await writeFile(file, bytes);
    const outside = (await readHeader(file)).find(({ begin, end }) => begin < 8 || end < begin || end > bytes.length);
    if (outside) throw new Error(`accepted a tensor outside of the file: ${JSON.stringify(outside)}`);
  }),
  target("shard index", 60, mutatedJson(indexOf("a.safetensors")), async (bytes, folder) => {
    await writeFiles(folder, {
      "config.json": JSON.stringify(valid.config),
      "a.safetensors": wholeFile,
      "model.safetensors.index.json": bytes,
    });
    const { tensors } = await openCheckpoint(folder);
    const outside = [...tensors.values()].find(({ file }) => file !== join(folder, "a.safetensors"));
    if (outside) throw new Error(`accepted a file outside of the folder: ${outside.file}`);
  }),
  target(
    "GGUF file",
    100,
    fc.oneof(mutatedBytes(valid.gguf), fc.uint8Array({ maxLength: 64 })),
    async (bytes, folder) => {
      const file = join(folder, "x.gguf");
      await writeFile(file, bytes);
      const checkpoint = await openCheckpoint(file);
      try {
        const model = createModel(checkpoint.config);
        bindCheckpoint(model, checkpoint);
        for (const [, parameter] of model.namedParameters()) await parameter.load();
        await loadTokenizer(checkpoint.folder);
      } finally {
        await checkpoint.close();
      }
    },
  ),
  target("config.json", 100, mutatedJson(valid.config), async (bytes, folder) => {
    await writeFiles(folder, { "config.json": bytes, "model.safetensors": wholeFile });
    await traceModel({ model: folder });
  }),
  target("quantization_config", 60, mutatedValue(valid.compressedConfig.quantization_config), async (value, folder) => {
    const config = { ...valid.config, quantization_config: value };
    await writeFiles(folder, { "config.json": JSON.stringify(config), "model.safetensors": wholeFile });
    await inspectCheckpoint(folder);
  }),
  target("tokenizer.json", 80, mutatedJson(valid.tokenizer), (bytes, folder) =>
    tokenize(folder, { "tokenizer.json": bytes, "tokenizer_config.json": JSON.stringify(valid.tokenizerConfig) }),
  ),
  target("tokenizer_config.json", 50, mutatedJson(valid.tokenizerConfig), (bytes, folder) =>
    tokenize(folder, { "tokenizer.json": JSON.stringify(valid.tokenizer), "tokenizer_config.json": bytes }),
  ),
  target("chat template", 60, mutatedText(valid.chatTemplate), (text) =>
    compileChatTemplate(text, { eos_token: "</s>" })([{ role: "user", content: "hello" }, { role: "assistant" }]),
  ),
  target("recipe", 100, fc.oneof(mutatedText(valid.recipe), fc.string()), (text) => {
    const model = createModel(valid.config);
    for (const modifier of createModifiers(`${text}\n`)) modifier.initialize(model, { warn: () => {} });
  }),
  ...dataTargets,
  target("rows", 30, fc.oneof(strangeRows, fc.array(fc.anything(), { maxLength: 3 })), (rows) =>
    calibrate(rows as never),
  ),
  target("rows of known columns", 30, mutatedValue(valid.rows), (rows) => calibrate([rows].flat() as never)),
  target("Hub id", 20, fc.oneof(fc.string(), mutatedText("organisation/name")), async (id) => {
    const download = async (name: string) => {
      if (/(^|\/)\.\.?(\/|$)|[\\\0]/.test(name)) throw new Error(`accepted the Hub id ${JSON.stringify(name)}`);
      return name;
    };
    await resolveModel(id, { download });
  }),
  target("weight", 30, weights, ({ values, dtype, numBits, symmetric }) => {
    const weight = fromFloat32(new Tensor("F32", [2, 8], Float32Array.from(values)), dtype);
    const args = completeArgs({ numBits, symmetric, strategy: "channel" });
    const range = observeWeight(weight, args, "weight");
    const quantized = quantizeWeight(weight, weightQParams(weight, range, args, "weight"), args);
    const decoded = dequantizeWeight(quantized).data;
    if (!decoded.every(Number.isFinite)) throw new Error(`a finite weight decodes to ${decoded}`);
    if (toFloat32(quantized.scale).data.some((scale) => !(scale > 0))) throw new Error("a scale that is not positive");
  }),
  target("checkpoint", 20, fc.tuple(brokenFiles, fc.nat(1)), async ([[name, bytes], recipe], folder) => {
    const model = join(folder, "model");
    await writeFiles(model, {
      "config.json": JSON.stringify(valid.config),
      "model.safetensors": wholeFile,
      "tokenizer.json": JSON.stringify(valid.tokenizer),
      [name]: bytes,
    });
    await compress(model, join(folder, "output"), valid.recipes[recipe]);
  }),
];

function indexOf(file: string): object {
  return { metadata: {}, weight_map: Object.fromEntries(valid.tensors.map(({ name }) => [name, file])) };
}

async function writeFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(folder, name), content)));
}

async function calibrate(source: Parameters<typeof loadCalibrationData>[0]): Promise<void> {
  const chatTemplate = compileChatTemplate(valid.chatTemplate, { eos_token: "</s>" });
  const tokenizer = characterTokenizer({ chatTemplate });
  await loadCalibrationData(source, { tokenizer, numCalibrationSamples: 2, maxSeqLength: 16, dataCollator: "padding" });
}

async function tokenize(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  await writeFiles(folder, files);
  const { chatTemplate, encode } = await loadTokenizer(folder);
  encode("hello world 12", { addSpecialTokens: true });
  chatTemplate?.([{ role: "user", content: "hello" }]);
}

/** Compresses, and checks that nothing appears but the output, whole or not at all. */
async function compress(model: string, output: string, recipe: string): Promise<void> {
  const before = await snapshot(model);
  const dataset = [{ input_ids: [1, 2, 3, 4] }, { input_ids: [31, 0, 7, 7, 7] }];
  const settings = { model, output, recipe, dataset, threads: 1, numCalibrationSamples: 2 };
  const failure = await oneshot(settings).catch((error: unknown) => error);
  const found = (await readdir(join(output, ".."))).sort().join();
  if (found !== leftBy(failure)) throw new Error(`left behind: ${found}`);
  if ((await snapshot(model)) !== before) throw new Error("changed the source");
  if (!failure) await checkOutput(output);
  await Promise.all([model, output, `${output}.partial`].map((path) => rm(path, { recursive: true, force: true })));
  if (failure) throw failure;
}

/** What is there after a run: what is wrong with its output alone stays to be gone on with. */
function leftBy(failure: unknown): string {
  if (failure instanceof InterruptedError) return "model,output.partial";
  return failure ? "model" : "model,output";
}

/** The scales of an output that was written must be numbers. */
async function checkOutput(folder: string): Promise<void> {
  const checkpoint: Checkpoint = await openCheckpoint(folder);
  for (const name of checkpoint.tensors.keys()) {
    if (!name.endsWith(".weight_scale")) continue;
    const scale = toFloat32((await checkpoint.read(name)) as Tensor<FloatDType>).data;
    if (!scale.every((value) => value > 0 && value < Number.POSITIVE_INFINITY)) throw new Error(`${name}: ${scale}`);
  }
  await checkpoint.close();
}

/** Names and contents of a folder's files. */
async function snapshot(folder: string): Promise<string> {
  const names = (await readdir(folder)).sort();
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name), "base64")));
  return JSON.stringify(names.map((name, index) => [name, contents[index]]));
}
