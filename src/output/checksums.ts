import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { readContained } from "../checkpoint/contained-file.ts";
import { readJsonFile } from "../checkpoint/json-file.ts";
import { ignore } from "../errors.ts";

/** The file beside the weights with which damage is found, and told from a change that was meant. */
export const CHECKSUMS_FILE = "checksums.json";

/** SHA-256, in hexadecimal, of all that a checkpoint consisted of when it was written. */
export interface Checksums {
  /** Of files other than weights, by name. */
  readonly files: ReadonlyMap<string, string>;
  /** Of the bytes of each tensor, by name. */
  readonly tensors: ReadonlyMap<string, string>;
}

const digests = z.record(z.string(), z.string()).transform((record) => new Map(Object.entries(record)));
const schema = z.object({ files: digests, tensors: digests });

/** Bytes that Node's hash takes at once: it refuses 2 GiB. */
const LARGEST_UPDATE = 2 ** 30;

/** SHA-256 in hexadecimal. */
export function digestOf(bytes: Uint8Array): string {
  const hash = createHash("sha256");
  for (let done = 0; done < bytes.length; done += LARGEST_UPDATE)
    hash.update(bytes.subarray(done, done + LARGEST_UPDATE));
  return hash.digest("hex");
}

/** The text of {@link CHECKSUMS_FILE}, in the order of names. */
export function printChecksums({ files, tensors }: Checksums): string {
  const sorted = (digests: ReadonlyMap<string, string>) =>
    Object.fromEntries([...digests].sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ files: sorted(files), tensors: sorted(tensors) }, null, 2)}\n`;
}

/** The checksums in a folder; undefined if there are none. @throws CheckpointError for a file that is broken */
export async function readChecksums(folder: string): Promise<Checksums | undefined> {
  const names = await readdir(folder);
  return names.includes(CHECKSUMS_FILE) ? readJsonFile(join(folder, CHECKSUMS_FILE), schema) : undefined;
}

/** Files of weights: of a checkpoint, and beside an ONNX model. */
const WEIGHTS = /\.safetensors$|\.onnx_data(_\d+)?$/;

/** Digests of the files in a folder other than weights and {@link CHECKSUMS_FILE}. */
export async function digestSmallFiles(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const small = names.filter((name) => !WEIGHTS.test(name) && name !== CHECKSUMS_FILE);
  return new Map(
    await Promise.all(small.map(async (name) => [name, (await digestSmallFile(folder, name)) ?? ""] as const)),
  );
}

/** Digest of a small file of a checkpoint; undefined if there is none. @throws CheckpointError for a link to somewhere else */
export async function digestSmallFile(folder: string, name: string): Promise<string | undefined> {
  if (name !== basename(name)) return undefined;
  const bytes = await readContained(join(folder, name)).catch(ignore("ENOENT"));
  return bytes && digestOf(bytes);
}
