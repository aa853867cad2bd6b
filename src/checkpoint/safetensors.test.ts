import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { parseHeader, readHeader, type TensorInfo } from "./safetensors.ts";

const fixture = new URL("../../test/fixtures/checkpoint/layout.safetensors", import.meta.url).pathname;
const BROKEN = "The file is broken; get it again.";

test("tensors come in the order of their bytes, at absolute positions", () => {
  const header =
    '{"b":{"dtype":"I64","shape":[],"data_offsets":[4,12]},"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}';
  expect(parse(header, 12)).toEqual([
    { name: "a", dtype: "BF16", shape: [2, 1], file: "f", begin: 8 + header.length, end: 12 + header.length },
    { name: "b", dtype: "I64", shape: [], file: "f", begin: 12 + header.length, end: 20 + header.length },
  ]);
});

test.each([
  ["an empty object", "{}"],
  ["padding", "{}      "],
  ["metadata", '{"__metadata__":{"format":"pt"}}'],
])("a header of %s holds no tensors", (_, header) => {
  expect(parse(header, 0)).toEqual([]);
});

test.each(["__proto__", "constructor", "toString", "10", ""])("a tensor may be named %j", (name) => {
  expect(parse(entry({ name, shape: [1], offsets: [0, 4] }), 4)).toMatchObject([{ name, shape: [1] }]);
});

test("tensors without bytes may lie between others", () => {
  const members = [
    entry({ name: "b", shape: [0], offsets: [4, 4] }),
    entry({ name: "c", shape: [1], offsets: [4, 8] }),
    entry({ name: "a", shape: [1], offsets: [0, 4] }),
  ];
  const header = `{${members.map((member) => member.slice(1, -1)).join()}}`;
  expect(parse(header, 8).map(({ name }) => name)).toEqual(["a", "b", "c"]);
});

test.each<[what: string, header: string | Uint8Array, data: number, message: string]>([
  ["nothing", "", 0, "a header of another kind, expected a JSON object that begins at byte 8"],
  ["an array", "[]", 0, "a header of another kind, expected a JSON object that begins at byte 8"],
  ["a leading space", " {}", 0, "a header of another kind, expected a JSON object that begins at byte 8"],
  ["a byte order mark", "\ufeff{}", 0, "a header of another kind, expected a JSON object that begins at byte 8"],
  ["no end", '{"a":', 0, "a header that does not parse, expected JSON in UTF-8"],
  ["bytes after its end", "{}{}", 0, "a header that does not parse, expected JSON in UTF-8"],
  [
    "bytes that are not UTF-8",
    Uint8Array.of(0x7b, 0xff, 0x7d),
    0,
    "a header that does not parse, expected JSON in UTF-8",
  ],
  ["a tensor twice", '{"a":1,"\\u0061":2}', 0, '"a" is there twice, expected each name once'],
  [
    "metadata twice",
    '{"__metadata__":{},"__metadata__":{}}',
    0,
    '"__metadata__" is there twice, expected each name once',
  ],
  [
    "a dtype twice",
    '{"a":{"dtype":"F32","dtype":"I32","shape":[],"data_offsets":[0,4]}}',
    4,
    '"a.dtype" is there twice, expected each name once',
  ],
  ["metadata of numbers", '{"__metadata__":{"a":1}}', 0, '__metadata__ is {"a":1}, expected an object of strings'],
  ["metadata of another kind", '{"__metadata__":"pt"}', 0, '__metadata__ is "pt", expected an object of strings'],
  ["a number for a tensor", '{"a":1}', 0, 'tensor "a" is 1, expected dtype, shape and data_offsets, in whole numbers'],
  [
    "null for a tensor",
    '{"a":null}',
    0,
    'tensor "a" is null, expected dtype, shape and data_offsets, in whole numbers',
  ],
  [
    "a member too many",
    '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}}',
    1,
    'tensor "a" is {"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}, expected dtype, shape and data_offsets, in whole numbers',
  ],
  [
    "a long description",
    `{"a":"${"x".repeat(200)}"}`,
    0,
    `tensor "a" is "${"x".repeat(99)}…, expected dtype, shape and data_offsets, in whole numbers`,
  ],
  [
    "an unknown dtype",
    entry({ dtype: "F8_E5M2" }),
    4,
    'tensor "a" has dtype "F8_E5M2", expected one that layerwise knows. Convert it first.',
  ],
  [
    "a dtype of an object's own members",
    entry({ dtype: "constructor" }),
    4,
    'tensor "a" has dtype "constructor", expected one that layerwise knows. Convert it first.',
  ],
  ["too few bytes", entry({ shape: [3] }), 4, 'tensor "a" has 4 bytes, expected 12 for F32[3]'],
  ["too many bytes", entry({ shape: [0] }), 4, 'tensor "a" has 4 bytes, expected 0 for F32[0]'],
  ["an end before the begin", entry({ offsets: [4, 0] }), 4, 'tensor "a" has -4 bytes, expected 4 for F32[1]'],
  [
    "a shape too large to count",
    entry({ shape: [2 ** 52, 2 ** 52], offsets: [0, 0] }),
    0,
    'tensor "a" has shape [4503599627370496, 4503599627370496], expected one that a file can hold',
  ],
  [
    "a shape too large to count but for a zero",
    entry({ shape: [2 ** 52, 2 ** 52, 0], offsets: [0, 0] }),
    0,
    'tensor "a" has shape [4503599627370496, 4503599627370496, 0], expected one that a file can hold',
  ],
  [
    "a gap at the begin",
    entry({ offsets: [4, 8] }),
    8,
    'tensor "a" begins at byte 66, expected byte 62, without gap or overlap',
  ],
  ["no data", entry({}), 0, "tensors that end at byte 66 of 62, expected its end"],
  ["data that no tensor has", entry({}), 5, "tensors that end at byte 66 of 67, expected its end"],
  ["data without tensors", "{}", 1, "tensors that end at byte 10 of 11, expected its end"],
])("a header with %s is refused", (_, header, data, message) => {
  const text = message.endsWith(".") ? `f: ${message}` : `f: ${message}. ${BROKEN}`;
  expect(() => parse(header, data)).toThrow(new CheckpointError(text));
});

test.each(["-1", "-0", "0.5", "1e99", "9007199254740992", '"1"', "null", "[1]"])(
  "a dimension of %s is refused",
  (dimension) => {
    const header = `{"a":{"dtype":"F32","shape":[${dimension}],"data_offsets":[0,4]}}`;
    expect(() => parse(header, 4)).toThrow(
      /^f: tensor "a" is .*, expected dtype, shape and data_offsets, in whole numbers\./,
    );
  },
);

test.each(["[0]", "[0,4,8]", "[-4,0]", "[0,4.5]", '["0","4"]', "{}", "null"])(
  "offsets of %s are refused",
  (offsets) => {
    const header = `{"a":{"dtype":"F32","shape":[1],"data_offsets":${offsets}}}`;
    expect(() => parse(header, 4)).toThrow(
      /^f: tensor "a" is .*, expected dtype, shape and data_offsets, in whole numbers\./,
    );
  },
);

test.each([
  ["overlaps", [0, 4], [2, 6], 6, 'tensor "b" begins at byte 117, expected byte 119, without gap or overlap'],
  ["leaves a gap to", [0, 4], [5, 9], 9, 'tensor "b" begins at byte 120, expected byte 119, without gap or overlap'],
  ["equals", [0, 4], [0, 4], 4, 'tensor "b" begins at byte 115, expected byte 119, without gap or overlap'],
])("a tensor that %s the one before is refused", (_, first, second, data, message) => {
  const [a, b] = [entry({ name: "a", offsets: first }), entry({ name: "b", offsets: second })];
  expect(() => parse(`{${a.slice(1, -1)},${b.slice(1, -1)}}`, data)).toThrow(
    new CheckpointError(`f: ${message}. ${BROKEN}`),
  );
});

test("a name of megabytes is no trouble", () => {
  const name = "\\n".repeat(1e6);
  expect(parse(`{"${name}":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4)[0].name).toHaveLength(1e6);
});

test.each<[what: string, bytes: Buffer, message: string]>([
  ["is empty", Buffer.alloc(0), "0 bytes, expected a header's length"],
  ["ends inside the length", Buffer.alloc(7), "7 bytes, expected a header's length"],
  ["ends inside the header", prefixed(3n, "{}"), "a header of 3 bytes, expected at most 2 in a file of 10"],
  [
    "has a header longer than any number",
    prefixed(2n ** 64n - 1n, "{}"),
    "a header of 18446744073709551615 bytes, expected at most 2 in a file of 10",
  ],
])("a file that %s is refused", async (_, bytes, message) => {
  const file = join(await temporaryFolder(), "model.safetensors");
  await writeFile(file, bytes);
  await expect(readHeader(file)).rejects.toThrow(new CheckpointError(`${file}: ${message}. ${BROKEN}`));
});

test("a header of more than 100 MB is not read", async () => {
  const file = join(await temporaryFolder(), "model.safetensors");
  const handle = await open(file, "w");
  await handle.write(prefixed(100_000_001n, "{}"));
  await handle.truncate(200_000_000); // takes no room on disk
  await handle.close();
  await expect(readHeader(file)).rejects.toThrow(
    new CheckpointError(
      `${file}: a header of 100000001 bytes, expected at most 100000000 in a file of 200000000. ${BROKEN}`,
    ),
  );
});

test("a file that is not there, and a folder in its place, are refused", async () => {
  const file = join(await temporaryFolder(), "model.safetensors");
  await expect(readHeader(file)).rejects.toThrow(
    new CheckpointError(`${file}: cannot be opened, expected a safetensors file. Check the path.`),
  );
  await mkdir(file);
  await expect(readHeader(file)).rejects.toThrow(
    new CheckpointError(`${file}: not a regular file, expected one. Put the file itself there.`),
  );
});

test("any bytes are a header or a CheckpointError", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), parsesOrRefuses), { numRuns: 2000 });
});

test("a real header with any bytes changed is a header or a CheckpointError", async () => {
  const file = await readFile(fixture);
  const header = file.subarray(8, 8 + Number(file.readBigUInt64LE()));
  const edits = fc.array(fc.tuple(fc.nat(header.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(edits, (edits) => {
      const changed = Uint8Array.from(header);
      for (const [position, byte] of edits) changed[position] = byte;
      parsesOrRefuses(changed, file.length - 8 - header.length);
    }),
    { numRuns: 2000 },
  );
});

test("any JSON as a tensor's description is a header or a CheckpointError", () => {
  const numbers = fc.oneof(fc.nat(16), fc.double(), fc.maxSafeInteger());
  const description = fc.record(
    {
      dtype: fc.oneof(fc.constantFrom("F32", "U8", "F64"), fc.string()),
      shape: fc.oneof(fc.array(numbers, { maxLength: 4 }), fc.jsonValue()),
      data_offsets: fc.oneof(fc.tuple(numbers, numbers), fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.dictionary(fc.string(), description, { maxKeys: 3 }), fc.nat(64), (header, data) =>
      parsesOrRefuses(new TextEncoder().encode(JSON.stringify(header)), data),
    ),
    { numRuns: 2000 },
  );
});

/** Parses; what is accepted must fill the file's data exactly. */
function parsesOrRefuses(header: Uint8Array, data: number): void {
  let tensors: TensorInfo[];
  try {
    tensors = parse(header, data);
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return;
  }
  expect(tensors.reduce((sum, { begin, end }) => sum + end - begin, 0)).toBe(data);
}

function parse(header: string | Uint8Array, data: number): TensorInfo[] {
  const bytes = typeof header === "string" ? new TextEncoder().encode(header) : header;
  return parseHeader("f", bytes, 8 + bytes.length + data);
}

/** A header with one tensor: by default F32[1] in the first four bytes. */
function entry({ name = "a", dtype = "F32", shape = [1], offsets = [0, 4] }): string {
  return `{${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: offsets })}}`;
}

/** A file with that number as its header's length. */
function prefixed(length: bigint, rest: string): Buffer {
  const bytes = Buffer.alloc(8 + rest.length);
  bytes.writeBigUInt64LE(length);
  bytes.write(rest, 8);
  return bytes;
}
