import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { CompressedModule } from "../formats/bind-checkpoint.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import { type Checksums, readChecksums } from "../output/checksums.ts";
import { Buffers } from "../tensor/buffers.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ByteCheck, checkTensorBytes } from "./check-bytes.ts";
import { checkAgainstSource, checkSettings } from "./check-config.ts";
import { checkFiles } from "./check-files.ts";
import { checkLayout } from "./check-layout.ts";
import { type AskedFor, checkRecipe, readAskedFor } from "./check-recipe.ts";
import { checkCompressedWeight } from "./check-weights.ts";
import { type Problem, problemOf } from "./problem.ts";
import { openStoredModel, type StoredModel } from "./stored-model.ts";

/** The model that was compressed. */
export interface Source {
  readonly checkpoint: Checkpoint;
  /** Bound to it. */
  readonly model: CausalLM;
  /** What config.json is to say: what it says, unless the compression makes another model of it. */
  readonly config?: Checkpoint["config"];
}

/** What a checkpoint is checked against. */
interface CheckOptions {
  readonly source?: Source;
  /** What is to be quantized; by default what the recipe beside the checkpoint asks for. */
  readonly asked?: AskedFor;
  readonly signal?: AbortSignal;
}

/** What the files of a checkpoint by themselves tell. */
export interface FileCheck {
  /** Empty where all is well. */
  readonly problems: readonly Problem[];
  /** What could not be checked, and why. */
  readonly notes: readonly string[];
  /** How many the checkpoint has. */
  readonly tensors: number;
  /** Modules whose weights are compressed. */
  readonly compressed: number;
}

/**
 * Opens the files of a checkpoint as a reader does, decodes all that is compressed, one module at a time, and tells what is
 * wrong with it. What cannot be opened at all is one problem, after which nothing else is looked at.
 */
export async function checkCheckpoint(folder: string, options: CheckOptions = {}): Promise<FileCheck> {
  const notes: string[] = [];
  let stored: StoredModel;
  try {
    stored = await openStoredModel(folder);
  } catch (error) {
    return { problems: [problemOf(error)], notes, tensors: 0, compressed: 0 };
  }
  try {
    const { checkpoint, compressed } = stored;
    const problems = await checkAll(stored, options, (note) => notes.push(note));
    return { problems, notes, tensors: checkpoint.tensors.size, compressed: compressed.size };
  } finally {
    await stored.checkpoint.close();
  }
}

async function checkAll(
  stored: StoredModel,
  { source, asked, signal }: CheckOptions,
  onNote: (note: string) => void,
): Promise<Problem[]> {
  const { checkpoint } = stored;
  const checksums = await readChecksums(checkpoint.folder);
  const recipe = asked ?? (await readAskedFor(checkpoint, onNote));
  const carriedOver = new Set(source?.checkpoint.tensors.keys());
  const layout = checkLayout(stored, { carriedOver });
  const broken = new Set(layout.map(({ where }) => where));
  return [
    ...(checksums ? await checkFiles(checkpoint.folder, checksums) : []),
    ...checkSettings(stored, source?.checkpoint),
    ...(source ? await checkAgainstSource(stored, source) : []),
    ...(recipe ? checkRecipe(stored, recipe) : []),
    ...layout,
    ...(await checkValues(stored, { checksums, broken, source, signal })),
  ];
}

interface ValueOptions {
  readonly checksums?: Checksums;
  /** Modules that have other tensors than they should: these are not decoded. */
  readonly broken: ReadonlySet<string>;
  readonly source?: Source;
  readonly signal?: AbortSignal;
}

/** Reads every tensor once: compressed weights module by module, all others in pieces. */
async function checkValues(
  stored: StoredModel,
  { checksums, broken, source, signal }: ValueOptions,
): Promise<Problem[]> {
  const { checkpoint, compressed, plan } = stored;
  const [problems, decoded, buffers]: [Problem[], Set<string>, Buffers] = [[], new Set(), new Buffers()];
  const digestOf = (name: string) => checksums?.tensors.get(name);
  for (const module of compressed.values()) {
    signal?.throwIfAborted();
    if (broken.has(module.path)) continue;
    const tensors = await readModule(stored, module, buffers);
    for (const [name, tensor] of tensors) {
      decoded.add(name);
      const check = new ByteCheck(checkpoint.info(name), digestOf(name), false);
      check.add(tensor.bytes);
      problems.push(...check.problems());
    }
    problems.push(...(await checkCompressedWeight(module, tensors, () => isZero(source, module.path), buffers)));
    for (const tensor of tensors.values()) buffers.give(tensor);
  }
  const surplus = new Set(plan.surplus);
  const chunk = buffers.take("U8", [CHUNK]).bytes;
  for (const name of checkpoint.tensors.keys()) {
    signal?.throwIfAborted();
    if (!decoded.has(name))
      problems.push(...(await checkTensorBytes(checkpoint, name, digestOf(name), !surplus.has(name), chunk)));
  }
  return problems;
}

/** Bytes that are read at a time of what need not be decoded. */
const CHUNK = 8 * 2 ** 20;

async function readModule(
  { checkpoint }: StoredModel,
  { path, format, linear, args }: CompressedModule,
  buffers: Buffers,
): Promise<Map<string, Tensor>> {
  const names = format.tensors(path, linear.weight.shape, "F32", args).map(({ name }) => name);
  const older = (format.optional?.(path) ?? []).filter((name) => checkpoint.tensors.has(name));
  const read = [...names, ...older].map(async (name) => [name, await checkpoint.read(name, buffers)] as const);
  return new Map(await Promise.all(read));
}

/** Whether a weight was zero before; what is not known was not. */
export async function isZero(source: Source | undefined, path: string): Promise<boolean> {
  const module = source?.model.namedModules().find(([other]) => other === path)?.[1];
  if (!(module instanceof Linear)) return false;
  return (await module.weight.load()).data.every((value) => value === 0);
}
