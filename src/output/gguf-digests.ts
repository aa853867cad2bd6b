import { encodeHeader } from "../gguf/encode-header.ts";
import type { GgufTensor } from "../gguf/layout.ts";
import { list, type Metadata, text } from "../gguf/metadata.ts";
import { digestOf } from "./checksums.ts";

/** Keys of our own: SHA-256 of what a header says, and of each tensor's bytes in the order of all files. */
const [HEADER, TENSORS] = ["layerwise.sha256.header", "layerwise.sha256.tensors"];

/** What stands for a digest that is not known yet: as long as one. */
export const NO_DIGEST = "0".repeat(64);

/** Digests that a GGUF file has with it. */
export interface GgufDigests {
  /** Of keys and tensors as {@link digestOfHeader} makes it. */
  readonly header: string;
  readonly tensors: readonly string[];
}

/** A model's metadata with digests by which damage is found, whatever folder the file is moved to. */
export function withDigests(metadata: Metadata, tensors: readonly GgufTensor[], digests: readonly string[]): Metadata {
  return new Map([...metadata, [HEADER, text(digestOfHeader(metadata, tensors))], [TENSORS, list("string", digests)]]);
}

/** The digests in a file's metadata; undefined where it has none. */
export function readDigests(metadata: Metadata): GgufDigests | undefined {
  const [header, tensors] = [metadata.get(HEADER), metadata.get(TENSORS)];
  if (header?.type !== "string" || tensors?.type !== "array") return undefined;
  return { header: String(header.value), tensors: tensors.values.map(String) };
}

/**
 * Digest of a model's metadata, and of names, types and shapes of its tensors.
 *
 * @param tensors - those of all files
 */
export function digestOfHeader(metadata: Metadata, tensors: readonly GgufTensor[]): string {
  const own = [...metadata].filter(([key]) => key !== HEADER && key !== TENSORS && !key.startsWith("split."));
  const entries = tensors.map(({ name, type, shape }) => ({ name, type, shape, offset: 0 }));
  return digestOf(encodeHeader(new Map(own), entries));
}
