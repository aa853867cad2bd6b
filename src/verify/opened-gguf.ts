import { type Checkpoint, checkpointOf } from "../checkpoint/checkpoint.ts";
import { type UnpackedGguf, unpackGguf } from "../checkpoint/gguf-file.ts";
import { parameterName } from "../gguf/tensor-names.ts";
import { isPlainType } from "../gguf/tensor-types.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";

/** A GGUF file, what it says, and the model that its keys describe, which is bound to nothing yet. */
export interface OpenedGguf extends Pick<UnpackedGguf, "parts" | "reader" | "architecture"> {
  /** The file, of several the first. */
  readonly path: string;
  /** Tensors by the names that the model has for them. */
  readonly checkpoint: Checkpoint;
  readonly model: CausalLM;
}

/** Opens a file without trusting that it holds what it should. @throws LayerwiseError for what cannot be read at all */
export async function openGguf(path: string): Promise<OpenedGguf> {
  const unpacked = await unpackGguf(path);
  const checkpoint = checkpointOf(unpacked);
  try {
    const { parts, reader, architecture } = unpacked;
    return { path, parts, reader, architecture, checkpoint, model: createModel(checkpoint.config, { where: path }) };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** The path of the module that a parameter is of. */
export function moduleOf(parameter: string): string {
  return parameter.replace(/\.(weight|bias)$/, "");
}

/** The path of the module that a tensor is of, by the tensor's name in the file; that name where it is of none. */
export function ownerOf({ architecture }: OpenedGguf, tensor: string): string {
  return moduleOf(parameterName(architecture, tensor) ?? tensor);
}

/** The type of a tensor as the file has it. */
export function storedType({ checkpoint }: OpenedGguf, parameter: string): string {
  const { encoding, dtype } = checkpoint.info(parameter);
  return encoding?.name ?? dtype;
}

/** The type of each weight that is stored as codes in blocks, by the path of its module. */
export function storedKinds({ tensors }: Checkpoint): Map<string, string> {
  const kinds = new Map<string, string>();
  for (const { name, encoding } of tensors.values())
    if (encoding && !isPlainType(encoding.name)) kinds.set(moduleOf(name), encoding.name);
  return kinds;
}
