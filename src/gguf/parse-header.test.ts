import { describe, expect, test } from "vitest";
import { CheckpointError } from "../errors.ts";
import { encodeHeader } from "./encode-header.ts";
import { HeaderTooShort } from "./header-reader.ts";
import { planGguf } from "./layout.ts";
import { flag, float32, list, type MetadataValue, text, uint32 } from "./metadata.ts";
import { parseGgufHeader } from "./parse-header.ts";
import type { TensorType } from "./tensor-types.ts";

const metadata = new Map<string, MetadataValue>([
  ["general.architecture", text("llama")],
  ["llama.block_count", uint32(2)],
  ["llama.attention.layer_norm_rms_epsilon", float32(0.5)],
  ["tokenizer.ggml.add_bos_token", flag(true)],
  ["tokenizer.ggml.tokens", list("string", ["a", "ü", ""])],
  ["tokenizer.ggml.token_type", list("int32", [1, -1])],
]);
const tensors = [
  { name: "token_embd.weight", type: "Q8_0", shape: [3, 64] },
  { name: "output_norm.weight", type: "F32", shape: [5] },
] as const;

/** The parts of a header's tensor entry that a test damages. */
interface Entry {
  readonly name?: string;
  readonly type?: TensorType;
  readonly shape?: readonly number[];
  readonly offset?: number;
}

function header(entries: readonly Entry[], keys: ReadonlyMap<string, MetadataValue> = new Map()): Uint8Array {
  const whole = { name: "t", type: "F32", shape: [8], offset: 0 } as const;
  return encodeHeader(
    keys,
    entries.map((entry) => ({ ...whole, ...entry })),
  );
}

/** The message that a header, in a file with 4096 bytes more, is refused with. */
function refusal(bytes: Uint8Array, fileSize = bytes.length + 4096): string {
  try {
    parseGgufHeader("m.gguf", bytes, fileSize);
  } catch (error) {
    if (error instanceof CheckpointError) return error.message;
    throw error;
  }
  return "accepted";
}

/** A header with other bytes at a place. */
function damaged(bytes: Uint8Array, position: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, position);
  return copy;
}

test("what is planned is read back, with every tensor where it was put", () => {
  const [{ name, header, places, size }] = planGguf("model", metadata, tensors);
  expect(name).toBe("model.gguf");
  const found = parseGgufHeader(name, header, size);
  expect(found.metadata).toEqual(metadata);
  expect(
    found.tensors.map(({ name, type, shape, begin }) => ({ tensor: { name, type, shape }, position: begin })),
  ).toEqual(places);
});

test("a header of which not all bytes were read asks for more", () => {
  const [{ header, size }] = planGguf("model", metadata, tensors);
  for (let length = 0; length < 300; length += 7)
    expect(() => parseGgufHeader("m.gguf", header.subarray(0, length), size)).toThrow(HeaderTooShort);
});

test("shards hold a part of the tensors each, and tell their number", () => {
  const shards = planGguf("m", metadata, tensors, 100);
  expect(shards.map(({ name }) => name)).toEqual(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
  const second = parseGgufHeader("m", shards[1].header, shards[1].size);
  expect(second.metadata.get("split.no")).toEqual({ type: "uint16", value: 1 });
  expect(second.tensors.map(({ name }) => name)).toEqual(["output_norm.weight"]);
});

describe("refuses", () => {
  const all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  const key = header([], new Map([["key", list("uint32", [1, 2])]]));

  test.each([
    ["another kind of file", damaged(header([]), 0, 0x50), "a file of another kind"],
    ["a big-endian file", damaged(header([]), 4, 0, 0, 0, 3), "version 50331648"],
    ["more tensors than the file has room for", damaged(header([]), 8, ...all), "18446744073709552000 tensors"],
    ["more keys than the file has room for", damaged(header([]), 16, ...all), "18446744073709552000 keys"],
    ["a key longer than any", damaged(key, 24, 0, 0, 1), "a key of 65536 bytes"],
    ["a list longer than the file", damaged(key, 24 + 8 + 3 + 8, ...all), "18446744073709552000 values of key"],
    ["a list of lists", damaged(key, 24 + 8 + 3 + 4, 9), "key is of type 9"],
    ["a value of no type", damaged(key, 24 + 8 + 3, 13), "key is of type 13"],
    ["two tensors of one name", header([{}, { offset: 32 }]), '"t" is there twice'],
    ["tensors in one place", header([{}, { name: "u" }]), 'tensor "u" at bytes'],
    ["a tensor past the end", header([{ offset: 4096 }]), 'tensor "t" at bytes'],
    ["a tensor that is not aligned", header([{ offset: 4 }]), 'tensor "t" at bytes'],
    ["a tensor without elements", header([{ shape: [0] }]), 'tensor "t" has shape [0]'],
    ["a tensor too large to count", header([{ shape: [2 ** 40, 2 ** 40] }]), 'tensor "t" has shape'],
    ["rows that are no whole blocks", header([{ type: "Q4_0", shape: [2, 48] }]), 'tensor "t" has shape [2, 48]'],
    ["five dimensions", header([{ shape: [1, 1, 1, 1, 1] }]), 'tensor "t" has 5 dimensions'],
    ["an odd alignment", header([], new Map([["general.alignment", uint32(24)]])), "general.alignment is 24"],
    ["an alignment of nothing", header([], new Map([["general.alignment", uint32(0)]])), "general.alignment is 0"],
  ])("%s", (_, bytes, expected) => {
    expect(refusal(bytes)).toContain(expected);
  });

  test("a file that ends inside its header", () => {
    expect(refusal(key.subarray(0, 40), 40)).toContain("40 bytes, expected the rest of the header");
  });
});
