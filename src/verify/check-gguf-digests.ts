import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { GgufPart } from "../checkpoint/gguf-file.ts";
import { readAt } from "../checkpoint/read-at.ts";
import { digestOfHeader, readDigests } from "../output/gguf-digests.ts";
import { type OpenedGguf, ownerOf } from "./opened-gguf.ts";
import { type Problem, problem } from "./problem.ts";

/** Bytes that are read at a time. */
const CHUNK = 8 * 2 ** 20;

/** Compares what a file says, and the bytes of its tensors, with the digests that it brings; a file without any is not checked. */
export async function checkGgufDigests(opened: OpenedGguf, signal?: AbortSignal): Promise<Problem[]> {
  const { path, parts } = opened;
  const { metadata } = parts[0];
  const digests = readDigests(metadata);
  if (!digests) return [];
  const tensors = parts.flatMap((part) => part.tensors);
  const problems: Problem[] = [];
  if (digests.header !== digestOfHeader(metadata, tensors))
    problems.push(
      problem(basename(path), "other keys or tensors than were written", "those that its own digest tells of"),
    );
  let index = 0;
  for (const part of parts)
    for await (const [name, digest] of digestTensors(part, signal))
      if (digest !== digests.tensors[index++])
        problems.push(
          problem(ownerOf(opened, name), `${name} has other bytes than were written`, "those of the file's digest"),
        );
  return problems;
}

async function* digestTensors({ file, tensors }: GgufPart, signal?: AbortSignal): AsyncGenerator<[string, string]> {
  const handle = await open(file);
  const buffer = new Uint8Array(CHUNK);
  try {
    for (const { name, begin, end } of tensors) {
      signal?.throwIfAborted();
      const hash = createHash("sha256");
      for (let at = begin; at < end; at += CHUNK) {
        const piece = buffer.subarray(0, Math.min(CHUNK, end - at));
        await readAt(handle, at, piece);
        hash.update(piece);
      }
      yield [name, hash.digest("hex")];
    }
  } finally {
    await handle.close();
  }
}
