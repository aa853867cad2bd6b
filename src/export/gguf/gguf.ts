import { ConfigError } from "../../errors.ts";
import { ARCHITECTURES, type Architecture } from "../../gguf/architectures.ts";
import { isKBlockType, K_BLOCK } from "../../gguf/k-blocks.ts";
import type { TensorType } from "../../gguf/tensor-types.ts";
import type { LlamaConfig } from "../../models/llama.ts";
import { quantizedValues } from "../../schemes/quantized-values.ts";
import { checkGguf } from "../../verify/check-gguf.ts";
import { compareGgufWeights } from "../../verify/compare-gguf.ts";
import { expectNone } from "../../verify/verify-output.ts";
import type { ExportFormat, ExportSettings } from "../export-format.ts";
import type { ExportSource, ExportSubject } from "../export-source.ts";
import { warnOfRounding } from "../warn-of-rounding.ts";
import { argsForType, CARRIER_ARGS, STAND_INS } from "./carrier.ts";
import { checkConfig } from "./check-config.ts";
import { modelMetadata } from "./metadata.ts";
import { type PlannedTensor, planTensors } from "./plan.ts";
import { ropeTensors } from "./rope.ts";
import { stackExperts } from "./stack-experts.ts";
import { tokenizerMetadata } from "./tokenizer.ts";
import { type ModelFiles, writeFiles } from "./write.ts";

/** The file format of llama.cpp: one file, or several past the size of a shard, for each type that is asked for. */
export const gguf: ExportFormat = {
  name: "gguf",
  dtypes: ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"],
  embeddingDtypes: ["F32", "F16", "BF16", "Q8_0"],
  argsFor: (dtype = "Q4_0") => argsForType(dtype),
  async check(subject, settings) {
    checkModel(subject, settings);
    const warnings = new Set<string>();
    for (const dtype of typesOf(settings)) {
      const files = await planFiles(subject, dtype, settings);
      for (const message of files.warnings) warnings.add(message);
      warnOfStandIns(files, dtype, settings);
    }
    for (const message of warnings) settings.onProgress?.({ type: "warning", message });
  },
  async write(source, folder, settings) {
    const rounded = settings.dtypes.filter((dtype) => Object.hasOwn(CARRIER_ARGS, dtype));
    warnOfRounding(source, rounded, settings);
    for (const dtype of typesOf(settings)) {
      const files = await planFiles(source, dtype, settings);
      const path = await writeFiles(source, folder, files, settings);
      if (settings.verify ?? true) await verifyWritten(path, source, settings);
    }
  },
};

/** Reads back what was written, and compares each weight with the checkpoint's. @throws VerificationError naming what is wrong */
async function verifyWritten(path: string, source: ExportSource, { signal }: ExportSettings): Promise<void> {
  const { problems } = await checkGguf(path, { source, signal });
  expectNone(path, problems);
  expectNone(path, await compareGgufWeights(path, source.model, signal));
}

/** Where no type is asked for, the checkpoint decides. */
function typesOf({ dtypes }: ExportSettings): (TensorType | undefined)[] {
  return dtypes.length === 0 ? [undefined] : (dtypes as TensorType[]);
}

async function planFiles(
  subject: ExportSubject,
  dtype: TensorType | undefined,
  settings: ExportSettings,
): Promise<ModelFiles> {
  const { checkpoint, model } = subject;
  const architecture = architectureOf(checkpoint);
  const config = model.config as LlamaConfig; // what the schema of every architecture has
  checkConfig(architecture, config, checkpoint.pathOf("config.json"));
  const planned = planTensors(subject, architecture, dtype, settings);
  const fileType = mostCommonType(planned);
  const tokenizer = await tokenizerMetadata(checkpoint.folder, config.vocab_size);
  const metadata = new Map([
    ...modelMetadata(architecture, config, { name: settings.name, fileType }),
    ...tokenizer.metadata,
  ]);
  const { num_attention_heads: queries, num_key_value_heads: keys } = config;
  const order = { architecture, heads: { queries, keys } };
  const tensors = [...stackExperts(planned), ...ropeTensors(architecture, config)];
  return { name: `${settings.name}-${fileType}`, metadata, tensors, order, warnings: tokenizer.warnings };
}

/** Says which weights have another type than is asked for, because their rows are no whole blocks. */
function warnOfStandIns({ tensors }: ModelFiles, dtype: TensorType | undefined, { onProgress }: ExportSettings): void {
  if (!isKBlockType(dtype)) return;
  const others = tensors.filter(
    (tensor) => tensor.type !== dtype && ("experts" in tensor ? tensor.experts[0].carried : "carried" in tensor),
  );
  if (others.length === 0) return;
  const message = `${others.length} weights, ${others[0].name} the first, have columns that do not divide by ${K_BLOCK}, and are written as ${STAND_INS[dtype]} instead of ${dtype}.`;
  onProgress?.({ type: "warning", message });
}

/** The type of most of the matrices' elements. */
function mostCommonType(tensors: readonly PlannedTensor[]): TensorType {
  const counts = new Map<TensorType, number>();
  for (const { type, shape, name } of tensors) {
    if (shape.length < 2 || !name.startsWith("blk.")) continue;
    counts.set(type, (counts.get(type) ?? 0) + shape[0] * shape[1]);
  }
  return [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}

function architectureOf(checkpoint: ExportSubject["checkpoint"]): Architecture {
  const modelType = String(checkpoint.config.model_type);
  const architecture = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (architecture) return architecture;
  const known = ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes).join(", ");
  throw new ConfigError(
    `${checkpoint.pathOf("config.json")}: model_type ${modelType}, expected one of ${known} for GGUF.`,
  );
}

/** Refuses what the runtime does not compute, and warns of what it leaves out. */
function checkModel(subject: ExportSubject, { onProgress }: ExportSettings): void {
  if (subject.hasTransforms) {
    throw new ConfigError(
      "gguf: transforms at run time, expected none: llama.cpp has none. Leave QuIPModifier and R4 of SpinQuantModifier out; " +
        "in place of the recipe best take GPTQModifier with preset: best.",
    );
  }
  const { model, checkpoint, quantization } = subject;
  const where = checkpoint.pathOf("config.json");
  const warn = (message: string) => onProgress?.({ type: "warning", message });
  if (model.namedModules().some(([, module]) => quantizedValues(module, quantization).length > 0))
    warn(`${where}: inputs, outputs or keys and values are quantized, and will not be in the GGUF file.`);
  if (architectureOf(checkpoint).sliding) return;
  const { sliding_window: window, max_position_embeddings: length } = checkpoint.config;
  if (typeof window === "number" && window < Number(length) && checkpoint.config.use_sliding_window !== false)
    warn(`${where}: sliding_window ${window}, which llama.cpp leaves out: longer texts will give other results.`);
}
