import { readFileSync } from "node:fs";
import type { DType } from "../src/tensor/dtype.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";

const FOLDER = new URL("./fixtures/compressed-tensors/", import.meta.url);

/** What the reference library makes of one weight: `in.weight`, `out.<name>` as stored, and `ref.dequant`. */
interface GoldenCase {
  format: string;
  scheme: Record<string, unknown> & { weights: Record<string, unknown> };
}

/** What the reference writes for a one-layer model: its config and the dtype and shape of each tensor. */
interface GoldenConfig {
  quantization_config: Record<string, unknown> & { config_groups: Record<string, unknown> };
  tensors: Record<string, [dtype: DType, shape: number[]]>;
}

/** Codes and the words they are packed into. */
interface GoldenPacking {
  q: number[][];
  packed_dim1: number[][];
}

/** Scales and zero points of ranges; floats are the hexadecimal bits of a float32. */
interface GoldenQParams {
  args: Record<string, unknown> & { num_bits: number; symmetric?: boolean };
  dtype: "float32" | "bfloat16" | "float16";
  min: string[];
  max: string[];
  scale: string[];
  zero_point: number[];
}

export const goldenCases = readJson<Record<string, GoldenCase>>("index.json");
export const goldenConfigs = readJson<Record<string, GoldenConfig>>("configs.json");
export const goldenTables = readJson<{
  e4m3fn: { x: string[]; byte: number[] };
  e4m3fn_decode: string[];
  e2m1: { x: string[]; y: string[] };
  nvfp4_global_scale: { amax: string[]; global_scale: string[] };
  pack_int32: Record<string, GoldenPacking>;
  pack_int32_word_aligned: Record<string, GoldenPacking>;
  qparams: GoldenQParams[];
}>("tables.json");

/** The tensors of a golden case. */
export function readGolden(name: string): Map<string, Tensor> {
  return readSafetensors(new URL(`${name}.safetensors`, FOLDER));
}

/** Floats from the hexadecimal bits of float32. */
export function fromBits(bits: readonly string[]): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(bits, (hex) => Number.parseInt(hex, 16)).buffer);
}

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) as T;
}
