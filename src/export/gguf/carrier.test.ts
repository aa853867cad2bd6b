import { expect, test } from "vitest";
import { ConfigError } from "../../errors.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { completeArgs } from "../../schemes/arguments-schema.ts";
import { argsForType, CARRIER_ARGS, carrierOf, kCarrierOf } from "./carrier.ts";

function carrier(args: Partial<QuantizationArgs>): string {
  try {
    return carrierOf(completeArgs(args), [64, 128], "m.q_proj");
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

test.each(Object.entries(CARRIER_ARGS))("the scheme made for %s is carried by it", (type, args) => {
  expect(carrier(args)).toBe(type);
});

test.each([
  [{ numBits: 4, groupSize: 64 }, "Q4_0"],
  [{ numBits: 4, strategy: "channel" }, "Q4_0"],
  [{ numBits: 3, groupSize: 128, symmetric: false }, "Q4_1"],
  [{ numBits: 8, strategy: "tensor" }, "Q8_0"],
  [{ numBits: 6, groupSize: 32 }, "Q8_0"],
] as const)("%o is carried by %s: scales are repeated, and codes have room", (args, type) => {
  expect(carrier(args)).toBe(type);
});

test.each([
  [{ numBits: 4, groupSize: 16 }, "a scale for every 16 columns"],
  [{ numBits: 8, groupSize: 32, symmetric: false }, "int8 asymmetric weights"],
  [{ numBits: 8, type: "float", strategy: "channel" }, "float8 weights"],
] as const)("%o is refused, with the schemes to choose", (args, found) => {
  expect(carrier(args)).toBe(
    `m.q_proj: ${found}, expected what a GGUF file can carry. Choose integers with a scale for every 32 columns: ` +
      "4 bits symmetric (Q4_0), 4 bits asymmetric (Q4_1) or 8 bits symmetric (Q8_0); --scheme-for gguf does.",
  );
});

test.each([
  ["Q4_K", [64, 512], "Q4_K", true],
  ["Q4_K", [64, 576], "Q4_1", true],
  ["Q6_K", [64, 512], "Q6_K", true],
  ["Q6_K", [64, 576], "Q8_0", false],
] as const)(
  "of a weight made for %s, %j, the type is %s; whether its codes are carried: %s",
  (dtype, shape, type, carriesCodes) => {
    expect(kCarrierOf(dtype, completeArgs(argsForType(dtype)), shape, "m")).toEqual({ type, carriesCodes });
  },
);

test("a weight made for another type is none for Q4_K or Q6_K", () => {
  expect(kCarrierOf("Q4_K", completeArgs(CARRIER_ARGS.Q4_0), [64, 256], "m")).toBeUndefined();
  expect(kCarrierOf("Q6_K", completeArgs(CARRIER_ARGS.Q8_0), [64, 256], "m")).toBeUndefined();
});
