import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { COMPANIONS } from "../../formats/compressed-output.ts";
import { CHECKSUMS_FILE, digestSmallFiles, printChecksums } from "../../output/checksums.ts";
import { writing } from "../../output/write-at.ts";
import type { OnnxDType } from "./dtypes.ts";

/** A file of weights, as config.json tells of it. */
export interface WrittenModel {
  readonly dtype: OnnxDType;
  /** Files of external data beside it. */
  readonly chunks: number;
  /** Of the tensors in these, by their names below the file's. */
  readonly digests: ReadonlyMap<string, string>;
}

/** Copies the tokenizer's and the generation's files, and writes a config.json that tells transformers.js what there is. */
export async function writeCompanions(checkpoint: Checkpoint, folder: string, models: readonly WrittenModel[]) {
  for (const file of await checkpoint.listFiles()) {
    const target = join(folder, file);
    if (COMPANIONS.test(file)) await writing(target, copyFile(checkpoint.pathOf(file), target));
  }
  const { quantization_config: _, ...config } = checkpoint.config;
  const described = { ...config, "transformers.js_config": describeModels(models) };
  const path = join(folder, "config.json");
  await writing(path, writeFile(path, `${JSON.stringify(described, null, 2)}\n`));
  await writeChecksums(folder, new Map());
  await writeChecksums(join(folder, "onnx"), new Map(models.flatMap(({ digests }) => [...digests])));
}

/** Notes down what a folder's files are, and the tensors in them. */
async function writeChecksums(folder: string, tensors: ReadonlyMap<string, string>): Promise<void> {
  const path = join(folder, CHECKSUMS_FILE);
  await writing(path, writeFile(path, printChecksums({ files: await digestSmallFiles(folder), tensors })));
}

/** What is loaded where no type is asked for, how many files it has, and (for transformers.js before 4) the type of a cache. */
function describeModels(models: readonly WrittenModel[]): object {
  const halves = models.filter(({ dtype }) => dtype.half);
  return {
    dtype: models[0].dtype.name,
    use_external_data_format: Object.fromEntries(models.map(({ dtype, chunks }) => [dtype.file, chunks])),
    ...(halves.length > 0 && {
      kv_cache_dtype: Object.fromEntries(halves.map(({ dtype }) => [dtype.name, "float16"])),
    }),
  };
}
