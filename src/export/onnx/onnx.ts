import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Graph } from "../../fx/graph.ts";
import { writing } from "../../output/write-at.ts";
import type { RunControl } from "../../sequential/events.ts";
import { carriedWeights } from "../../verify/carried-weights.ts";
import { checkOnnxFolder } from "../../verify/check-onnx.ts";
import { loadSamples } from "../../verify/samples.ts";
import { expectNone } from "../../verify/verify-output.ts";
import type { ExportFormat, ExportSettings } from "../export-format.ts";
import type { ExportSource } from "../export-source.ts";
import { warnOfRounding } from "../warn-of-rounding.ts";
import { checkCodes, chooseDTypes, quantizedLinears } from "./check.ts";
import { EMBEDDING_BITS, ONNX_DTYPES, type OnnxDType } from "./dtypes.ts";
import { ExternalData } from "./external-data.ts";
import { type WrittenModel, writeCompanions } from "./folder.ts";
import { lowerDecoder } from "./lower-decoder.ts";
import { measureMagnitudes } from "./magnitudes.ts";
import { planWeights } from "./plan-weights.ts";
import { FULL_PRECISION, halfPrecision, type MagnitudeOf, type Precision } from "./precision.ts";
import { traceDecoder } from "./trace-decoder.ts";

/** A folder that transformers.js loads: the decoder with its cache as ONNX files below `onnx/`, beside tokenizer and configuration. */
export const onnx: ExportFormat = {
  name: "onnx",
  dtypes: ONNX_DTYPES.map(({ name }) => name),
  embeddingDtypes: Object.keys(EMBEDDING_BITS),
  argsFor: (dtype) =>
    dtype === "q8"
      ? { numBits: 8, type: "int", symmetric: true, strategy: "channel" }
      : { numBits: 4, type: "int", symmetric: true, strategy: "group", groupSize: 32 },
  async check(subject, settings) {
    checkCodes(subject, chooseDTypes(subject, settings.dtypes));
    traceDecoder(subject.model);
  },
  async write(source, folder, settings) {
    const dtypes = chooseDTypes(source, settings.dtypes);
    const rounded = dtypes.filter(({ bits }) => bits !== null).map(({ name }) => name);
    warnOfRounding(source, rounded, settings);
    warnOfFloatCodes(source, rounded, settings);
    const place = join(folder, "onnx");
    await writing(place, mkdir(place));
    const graph = traceDecoder(source.model);
    const magnitudes = dtypes.some(({ half }) => half) ? await magnitudesOf(source, graph, settings) : undefined;
    const written: WrittenModel[] = [];
    for (const dtype of dtypes) {
      const precision = dtype.half && magnitudes ? halfPrecision(graph, magnitudes) : FULL_PRECISION;
      tellKept(dtype, precision, settings);
      written.push(await writeModel({ source, graph, dtype, precision, folder: place, settings }));
    }
    await writeCompanions(source.checkpoint, folder, written);
    if (settings.verify ?? true) await verifyWritten(folder, source, settings.signal);
  },
};

/** Reads back what was written. @throws VerificationError naming what is wrong */
async function verifyWritten(folder: string, source: ExportSource, signal?: AbortSignal): Promise<void> {
  const { problems } = await checkOnnxFolder(folder, carriedWeights(source), signal);
  expectNone(folder, problems);
}

interface ModelToWrite {
  readonly source: ExportSource;
  readonly graph: Graph;
  readonly dtype: OnnxDType;
  readonly precision: Precision;
  readonly folder: string;
  readonly settings: ExportSettings;
}

async function writeModel({ source, graph, dtype, precision, folder, settings }: ModelToWrite): Promise<WrittenModel> {
  const embeddingBits = EMBEDDING_BITS[settings.embeddingDtype as keyof typeof EMBEDDING_BITS];
  const stored = planWeights(graph, source, { dtype, precision, embeddingBits });
  const data = new ExternalData(dtype.file, settings.maxShardSize);
  const model = lowerDecoder(graph, { stored, place: (spec) => data.place(spec) }, precision);
  const path = join(folder, dtype.file);
  await writing(path, writeFile(path, model));
  const digests = await data.write(folder, stored.values(), settings.signal);
  return { dtype, chunks: data.chunks, digests };
}

async function magnitudesOf(
  { checkpoint, model }: ExportSource,
  graph: Graph,
  control: RunControl,
): Promise<MagnitudeOf> {
  return measureMagnitudes(model, graph, await loadSamples(checkpoint, model), control);
}

function tellKept({ name }: OnnxDType, { kept }: Precision, { onProgress }: RunControl): void {
  if (kept.length === 0) return;
  const places = kept.map((node) => `${node.modulePath || "model"} (${node.targetName})`);
  const message = `${name}: values near the limit of float16; float32 is kept in ${[...new Set(places)].join(", ")}.`;
  onProgress?.({ type: "warning", message });
}

function warnOfFloatCodes(source: ExportSource, names: readonly string[], { onProgress }: RunControl): void {
  const floats = quantizedLinears(source).filter(({ args }) => args.type !== "int");
  if (floats.length === 0 || names.length === 0) return;
  const message = `${names.join(", ")}: float codes, as those of ${floats[0].path}, are decoded; these ${floats.length} weights are dense.`;
  onProgress?.({ type: "warning", message });
}
