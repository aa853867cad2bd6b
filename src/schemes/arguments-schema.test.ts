import { expect, test } from "vitest";
import type { QuantizationArgs } from "./arguments.ts";
import { completeArgs } from "./arguments-schema.ts";

test("arguments left out get the defaults of compressed-tensors", () => {
  expect(completeArgs({})).toEqual({
    numBits: 8,
    type: "int",
    symmetric: true,
    strategy: "tensor",
    groupSize: null,
    blockStructure: null,
    dynamic: false,
    actorder: null,
    scaleDtype: null,
    zpDtype: null,
    observer: null,
    observerKwargs: {},
  });
});

test.each<[Partial<QuantizationArgs>, string]>([
  [{ groupSize: 128 }, "group"],
  [{ groupSize: -1 }, "channel"],
  [{ strategy: "channel" }, "channel"],
])("%o has strategy %s", (partial, strategy) => {
  expect(completeArgs(partial).strategy).toBe(strategy);
});

test.each<[Partial<QuantizationArgs>, string | null]>([
  [{ symmetric: false }, "torch.int8"],
  [{ symmetric: false, zpDtype: "int8" }, "torch.int8"],
  [{ zpDtype: "torch.int8" }, null],
])("the zero point of %o has dtype %s", (partial, zpDtype) => {
  expect(completeArgs(partial).zpDtype).toBe(zpDtype);
});

test("spellings of older files are read", () => {
  const old = { strategy: "block", blockStructure: "128x64", actorder: false, scaleDtype: "float16" } as unknown;
  expect(completeArgs(old as Partial<QuantizationArgs>)).toMatchObject({
    blockStructure: [128, 64],
    actorder: null,
    scaleDtype: "torch.float16",
  });
});

test.each<[unknown, string]>([
  [{ numBits: 9 }, "args: num_bits 9, expected 1 to 8 for type int."],
  [{ numBits: 6, type: "float" }, "args: num_bits 6, expected 4 or 8 for type float."],
  [
    { symmetric: false, type: "float" },
    "args: symmetric false with type float, expected symmetric true: floats have no zero point.",
  ],
  [
    { groupSize: 32, scaleDtype: "int4" },
    "args: scale_dtype torch.int4, expected torch.float8_e4m3fn, torch.uint8, torch.float32, torch.bfloat16, torch.float16 or null.",
  ],
  [
    { groupSize: 64, type: "float", scaleDtype: "torch.uint8" },
    "args: scale_dtype torch.uint8, expected it with type float, 4 or 8 bits and group_size 32.",
  ],
  [{ strategy: "group" }, "args: group_size null, expected a positive one for strategy group."],
  [{ strategy: "channel", groupSize: 32 }, "args: strategy channel with group_size 32, expected strategy group."],
  [{ groupSize: 0 }, "args.group_size: expected a positive integer, or -1 for one scale a row."],
  [{ strategy: "block" }, "args: strategy block with block_structure null, expected both or neither."],
  [{ blockStructure: [4, 8] }, "args: strategy tensor with block_structure [4,8], expected both or neither."],
  [{ strategy: "token" }, "args: strategy token with dynamic false, expected dynamic true."],
  [
    { strategy: "channel", dynamic: true },
    "args: dynamic true with strategy channel, expected one of token, tensor, group, tensor_group.",
  ],
  [{ dynamic: "local" }, "args: dynamic local with strategy tensor, expected strategy tensor_group."],
  [
    { actorder: "group" },
    'args.actorder: "group", expected "weight", "static" or null. "weight" keeps groups in place.',
  ],
  [{ bits: 4 }, 'args: unknown key "bits", expected known ones.'],
])("%o is refused", (partial, message) => {
  expect(() => completeArgs(partial as Partial<QuantizationArgs>, "args")).toThrow(
    expect.objectContaining({ name: "RecipeError", message }),
  );
});
