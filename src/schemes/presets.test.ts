import { expect, test } from "vitest";
import { completeArgs } from "./arguments-schema.ts";
import { isPresetName, presetScheme } from "./presets.ts";

test.each([2, 3, 4, 5, 6, 7, 8])(
  "W%iA16 has one symmetric scale for 128 columns, and no other arguments",
  (numBits) => {
    expect(presetScheme(`W${numBits}A16`)).toEqual({
      targets: ["Linear"],
      weights: completeArgs({ numBits, strategy: "group", groupSize: 128 }),
      inputActivations: null,
      outputActivations: null,
      format: null,
    });
  },
);

test("a preset is found in any case, and takes the targets given", () => {
  const { targets, weights } = presetScheme("w4a16_asym", ["re:.*mlp.*"]);
  expect(targets).toEqual(["re:.*mlp.*"]);
  expect(weights).toEqual(completeArgs({ numBits: 4, groupSize: 128, symmetric: false }));
});

test("UNQUANTIZED quantizes nothing", () => {
  expect(presetScheme("UNQUANTIZED").weights).toBeNull();
});

const SUPPORTED = "UNQUANTIZED, W2A16, W3A16, W4A16, W4A16_ASYM, W5A16, W6A16, W7A16, W8A16";

test("an unknown preset is an error that lists the presets", () => {
  expect(() => presetScheme("W9A16")).toThrow(`scheme: preset "W9A16" is unknown, expected one of ${SUPPORTED}.`);
});

test("a preset of another format is an error that says so", () => {
  expect(() => presetScheme("fp8_dynamic")).toThrow(
    `scheme: preset "fp8_dynamic" is not supported yet, expected one of ${SUPPORTED}.`,
  );
});

test("preset names are told from other strings", () => {
  expect(["w4a16", "NVFP4", "toString", "Linear"].map(isPresetName)).toEqual([true, true, false, false]);
});
