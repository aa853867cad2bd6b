import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.ts";
import { ropeParameters, standardizeRope } from "./rope-config.ts";
import { plainFrequencies, type RopeFrequencies, ropeFrequencies } from "./rope-frequencies.ts";

interface GoldenCase {
  config: {
    hidden_size: number;
    num_attention_heads: number;
    head_dim?: number;
    max_position_embeddings: number;
  };
  rope_type: string;
  inverse_frequency: number[];
  scaling: number;
  long?: { beyond: number; inverse_frequency: number[] };
}

const file = new URL("../../test/fixtures/rope/rope.json", import.meta.url);
const cases = Object.entries(JSON.parse(readFileSync(file, "utf8")) as Record<string, GoldenCase>);

test.each(cases)("%s: kind, frequencies and scaling are those of transformers", (_, golden) => {
  const { kind, frequencies } = read(golden);
  expect(kind).toBe(golden.rope_type);
  expect(vector(frequencies.inverseFrequency)).toBeAllClose(vector(golden.inverse_frequency), RELATIVE);
  expect(frequencies.scaling).toBeCloseTo(golden.scaling, 12);
});

test.each(cases.filter(([, { long }]) => long))("%s: long texts have frequencies of their own", (_, golden) => {
  const { long } = read(golden).frequencies;
  expect(long?.beyond).toBe(golden.long?.beyond);
  expect(vector(long?.inverseFrequency ?? [])).toBeAllClose(vector(golden.long?.inverse_frequency ?? []), RELATIVE);
});

test.each(cases.filter(([, { long }]) => !long))("%s: texts of any length share the frequencies", (_, golden) => {
  expect(read(golden).frequencies.long).toBeUndefined();
});

test("every kind of rope_type is compared", () => {
  const kinds = ropeParameters.options.map((option) => option.shape.rope_type.value);
  expect(new Set(cases.map(([, { rope_type }]) => rope_type))).toEqual(new Set(kinds));
});

test("a head of n columns has n/2 frequencies, from 1 down to nearly 1/base", () => {
  const frequencies = plainFrequencies(10_000, 8);
  expect(frequencies).toHaveLength(4);
  expect(frequencies[0]).toBe(1);
  expect(frequencies[3]).toBe(Math.fround(1 / 1000));
});

test.each(["short_factor", "long_factor"])("LongRoPE with too few values in %s is an error", (key) => {
  const rope = ropeParameters.parse({
    rope_type: "longrope",
    original_max_position_embeddings: 512,
    short_factor: [1, 1, 1, 1],
    long_factor: [2, 2, 2, 2],
    [key]: [1, 1, 1],
  });
  expect(() => ropeFrequencies(rope, 8, 4096)).toThrow(
    new ConfigError(`rope_parameters.${key}: 3 values, expected 4, one for each pair of rotated columns. Correct it.`),
  );
});

/** A few units in the last place of a float32. */
const RELATIVE = { atol: 0, rtol: 3e-7 };

function read({ config }: GoldenCase): { kind: string; frequencies: RopeFrequencies } {
  const rope = ropeParameters.parse(standardizeRope({ ...config }).rope_parameters);
  const headSize = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const size = Math.floor(headSize * rope.partial_rotary_factor);
  return { kind: rope.rope_type, frequencies: ropeFrequencies(rope, size, config.max_position_embeddings) };
}

function vector(data: ArrayLike<number>): { shape: number[]; data: ArrayLike<number> } {
  return { shape: [data.length], data };
}
