import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isGgufPath } from "../checkpoint/gguf-file.ts";
import { CheckpointError, ignore } from "../errors.ts";
import type { FileCheck, Source } from "./check-checkpoint.ts";
import { checkGgufLayout } from "./check-gguf-layout.ts";
import { checkGgufSettings } from "./check-gguf-settings.ts";
import { checkGgufTensors } from "./check-gguf-tensors.ts";
import { checkGgufTokenizer } from "./check-gguf-tokenizer.ts";
import { type OpenedGguf, openGguf, storedKinds } from "./opened-gguf.ts";
import { problemOf } from "./problem.ts";

/** What a GGUF file is checked against. */
interface GgufCheckOptions {
  /** The checkpoint that it was exported from, or that this was made of. */
  readonly source?: Source;
  readonly signal?: AbortSignal;
}

/**
 * The GGUF file that a path names: itself, or of a folder that has no safetensors the only one, or the first of its only model;
 * undefined where there is none.
 *
 * @throws CheckpointError for a folder with several models
 */
export async function findGgufFile(path: string): Promise<string | undefined> {
  if (isGgufPath(path)) return path;
  const names = (await readdir(path).catch(ignore("ENOENT", "ENOTDIR"))) ?? [];
  if (names.some((name) => name.endsWith(".safetensors"))) return undefined;
  const isLater = /-(?!00001-)\d{5}-of-\d{5}\.gguf$/;
  const [first, ...others] = names.filter((name) => isGgufPath(name) && !isLater.test(name)).sort();
  if (others.length === 0) return first && join(path, first);
  throw new CheckpointError(`${path}: ${1 + others.length} GGUF files, expected one. Name the file.`);
}

/**
 * Reads a GGUF file as llama.cpp does, and tells what is wrong with it: files that are cut or not all there, tensors that are
 * missing, too many, of another shape or type, keys of the model and the tokenizer that are missing or do not fit, bytes that are
 * not what they were, NaN, weights that are all zero. With a source also: weights that are not quantized and should be, other
 * settings, other tokens of a text. What cannot be opened at all is one problem, after which nothing else is looked at.
 */
export async function checkGguf(file: string, { source, signal }: GgufCheckOptions = {}): Promise<FileCheck> {
  let opened: OpenedGguf;
  try {
    opened = await openGguf(file);
  } catch (error) {
    return { problems: [problemOf(error)], notes: [], tensors: 0, compressed: 0 };
  }
  try {
    const { checkpoint } = opened;
    const notes: string[] = [];
    const layout = checkGgufLayout(opened, source);
    const problems = [
      ...layout,
      ...(source ? checkGgufSettings(opened, source) : []),
      ...(await checkGgufTokenizer(opened, source, (note) => notes.push(note))),
      ...(await checkGgufTensors(opened, source, signal)),
    ];
    return { problems, notes, tensors: checkpoint.tensors.size, compressed: storedKinds(checkpoint).size };
  } finally {
    await opened.checkpoint.close();
  }
}
