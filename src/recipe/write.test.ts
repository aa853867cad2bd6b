import fc from "fast-check";
import { expect, test } from "vitest";
import type { GPTQOptions } from "../modifiers/gptq.ts";
import { GPTQModifier } from "../modifiers/gptq.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { QuantizationModifier } from "../modifiers/quantization.ts";
import { createModifiers } from "./modifiers.ts";
import { writeRecipe } from "./write.ts";

const weights = { numBits: 4, groupSize: 32, observerKwargs: { gridSize: 20, max_shrink: 1e-7 } } as const;

const namesAndOptions = (modifiers: readonly Modifier[]) => modifiers.map(({ name, options }) => [name, options]);

test("options are written as recipes spell them, nulls included", () => {
  const configGroups = { myGroup: { targets: ["re:.*q_proj$"], weights, inputActivations: null } };
  const modifier = new GPTQModifier({
    configGroups,
    actorder: null,
    blockSize: undefined,
    ignore: ["lm_head", "2:4", "yes"],
  });
  expect(writeRecipe([modifier])).toMatchInlineSnapshot(`
    "default_stage:
      default_modifiers:
        GPTQModifier:
          config_groups:
            myGroup:
              targets:
                - re:.*q_proj$
              weights:
                num_bits: 4
                group_size: 32
                observer_kwargs:
                  gridSize: 20
                  max_shrink: 1e-7
              input_activations: null
          actorder: null
          ignore:
            - lm_head
            - "2:4"
            - "yes"
    "
  `);
});

test("a class that comes twice opens a new group, so that order is kept", () => {
  const modifiers = [
    new QuantizationModifier({ scheme: "W8A16", targets: ["a"] }),
    new GPTQModifier({ scheme: "W4A16" }),
    new QuantizationModifier({ scheme: "W4A16", targets: ["b"] }),
  ];
  const text = writeRecipe(modifiers);
  expect(text.match(/^ {2}\w+_modifiers:$/gm)).toEqual(["  default_modifiers:", "  default_1_modifiers:"]);
  expect(namesAndOptions(createModifiers(text))).toEqual(namesAndOptions(modifiers));
});

test("what is written reads back to the same modifiers", () => {
  // the schemas drop a key called __proto__, which no option or group is called
  const key = fc.string({ minLength: 1 }).filter((name) => name !== "__proto__");
  const names = fc.array(fc.string({ unit: "binary", minLength: 1 }), { maxLength: 3 });
  const scheme = fc.record(
    {
      targets: names,
      weights: fc.record(
        {
          numBits: fc.integer({ min: 1, max: 8 }),
          symmetric: fc.boolean(),
          observerKwargs: fc.dictionary(key, fc.double()),
        },
        { requiredKeys: [] },
      ),
      format: fc.constantFrom(null, "dense" as const, "pack-quantized" as const),
    },
    { requiredKeys: ["targets"] },
  );
  const options: fc.Arbitrary<GPTQOptions> = fc.record(
    {
      configGroups: fc.dictionary(key, scheme),
      ignore: names,
      blockSize: fc.integer({ min: 1, max: 1e6 }),
      dampeningFrac: fc.double({ min: 0, max: 10, noNaN: true }),
      actorder: fc.constantFrom("static" as const, "weight" as const, null),
    },
    { requiredKeys: ["configGroups"] },
  );
  fc.assert(
    fc.property(options, (given) => {
      const modifier = new GPTQModifier(given);
      expect(namesAndOptions(createModifiers(writeRecipe([modifier])))).toEqual(namesAndOptions([modifier]));
    }),
    { numRuns: 200 },
  );
});
