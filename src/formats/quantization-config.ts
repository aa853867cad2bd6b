import { z } from "zod";
import { ConfigError } from "../errors.ts";
import type { TransformGroup } from "../nn/online-transform.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { parseWith } from "../schemes/parse.ts";
import { presetScheme } from "../schemes/presets.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { argsJsonSchema, argsToJson, schemeJsonSchema, schemeToJson } from "./config-keys.ts";
import { inferFormat, overallFormat } from "./infer-format.ts";
import { type FormatRegistry, formatOf, formats } from "./registry.ts";
import { SPARSE_FORMATS, type SparseFormatName } from "./sparse.ts";
import { transformGroupSchema, transformGroupToJson } from "./transform-config.ts";

/** What is quantized in a checkpoint, and how. */
interface QuantizationConfig {
  /** In the order of `config_groups`; each with its format. */
  readonly groups: readonly QuantizationScheme[];
  /** Full names, class names, or `re:` patterns of modules that no group takes. */
  readonly ignore: readonly string[];
  /** How keys and values are quantized before attention reads them. */
  readonly kvCacheScheme: QuantizationArgs | null;
  /** How the weights of an older, pruned checkpoint lie there; null for dense ones. */
  readonly sparsity: SparseFormatName | null;
  /** What rotates weights, and inputs or outputs along with them. */
  readonly transforms: readonly TransformGroup[];
}

/** Opens every error of this file. */
const WHERE = "config.json: quantization_config";

/** The version of compressed-tensors whose layout is written. */
const VERSION = "0.19.0";

/** The value of `quantization_config` in config.json: every key that the reference writes, in its order. */
export function writeQuantizationConfig({
  groups,
  ignore,
  kvCacheScheme,
  transforms,
}: Omit<QuantizationConfig, "sparsity">): Record<string, unknown> {
  const schemes = groups.map((scheme) => ({ ...scheme, format: inferFormat(scheme) }));
  const format = overallFormat(schemes.map(({ format }) => format));
  const isDense = format === "dense" && schemes.some(({ weights }) => weights);
  return {
    config_groups: Object.fromEntries(schemes.map((scheme, index) => [`group_${index}`, schemeToJson(scheme)])),
    format,
    global_compression_ratio: null,
    ignore: [...ignore],
    kv_cache_scheme: argsToJson(kvCacheScheme),
    quant_method: "compressed-tensors",
    quantization_status: isDense ? "frozen" : "compressed", // what "frozen" is to readers: weights as they multiply
    sparsity_config: {},
    transform_config: transformsToJson(transforms),
    version: VERSION,
  };
}

function transformsToJson(transforms: readonly TransformGroup[]): Record<string, unknown> {
  if (transforms.length === 0) return {};
  return { config_groups: Object.fromEntries(transforms.map((group) => [group.name, transformGroupToJson(group)])) };
}

/** Keys that do not change what a reader makes of the tensors are not looked at. */
const configSchema = z.object({
  quant_method: z.literal("compressed-tensors"),
  config_groups: z.record(z.string(), z.unknown()).optional(),
  ignore: z.array(z.string()).nullish(),
  kv_cache_scheme: argsJsonSchema.nullish(),
  sparsity_config: z.object({ format: z.enum(["dense", ...SPARSE_FORMATS]).default("dense") }).nullish(),
  transform_config: z.object({ config_groups: z.record(z.string(), transformGroupSchema).optional() }).nullish(),
});

/**
 * Reads the value of `quantization_config` in config.json; keys that older files lack get their defaults.
 *
 * @throws ConfigError naming each value that is missing, wrong or not supported, RecipeError if a group is named for a
 *   preset that is not.
 */
export function readQuantizationConfig(json: unknown, registry: FormatRegistry = formats): QuantizationConfig {
  const config = parseWith(configSchema, json, WHERE, ConfigError);
  const format = config.sparsity_config?.format ?? "dense";
  const sparsity = format === "dense" ? null : format;
  if (!config.config_groups && !sparsity) {
    throw new ConfigError(`${WHERE}: neither config_groups nor sparsity_config, expected one of them.`);
  }
  const transforms = Object.entries(config.transform_config?.config_groups ?? {}).map(
    ([name, { type, apply, head_dim }]): TransformGroup => ({ name, type, apply, headDim: head_dim }),
  );
  const groups = Object.entries(config.config_groups ?? {}).map(([name, value]) => {
    const where = `${WHERE}.config_groups.${name}`;
    const scheme = readGroup(name, value, where);
    return { ...scheme, format: scheme.weights ? formatOf(scheme, where, registry).name : inferFormat(scheme) };
  });
  return { groups, ignore: config.ignore ?? [], kvCacheScheme: config.kv_cache_scheme ?? null, sparsity, transforms };
}

/** A group named for a preset may be the list of its targets alone. */
function readGroup(name: string, value: unknown, where: string): QuantizationScheme {
  if (Array.isArray(value)) return presetScheme(name, parseWith(z.array(z.string()), value, where, ConfigError));
  return parseWith(schemeJsonSchema, value, where, ConfigError);
}
