import type { Architecture } from "./architectures.ts";

/** Modules outside of layers, of most architectures. */
const OUTER_MODULES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

/** What the layers of most architectures are below. */
const LAYERS = "model.layers";

/** Divisors of the rotary frequencies, where these are not the plain ones. */
export const ROPE_FACTORS = "rope_freqs.weight";
/** The same, for texts up to the original length and for longer ones. */
export const [SHORT_ROPE_FACTORS, LONG_ROPE_FACTORS] = ["rope_factors_short.weight", "rope_factors_long.weight"];
/** Tensors whose values are part of the configuration. */
export const ROPE_FACTOR_TENSORS: ReadonlySet<string> = new Set([ROPE_FACTORS, SHORT_ROPE_FACTORS, LONG_ROPE_FACTORS]);

/**
 * The name in a GGUF file of a parameter, `model.layers.0.mlp.up_proj.weight`; undefined if the architecture has none. Experts
 * share one: their matrices are stacked in one tensor.
 */
export function ggufName(architecture: Architecture, parameter: string): string | undefined {
  const { outerModules = OUTER_MODULES, layers = LAYERS, layerModules } = architecture;
  const [, module, field] = /^(.*)\.(weight|bias)$/.exec(parameter) ?? [];
  if (module === undefined) return undefined;
  const below = module.startsWith(`${layers}.`) ? module.slice(layers.length) : "";
  const [, layer, part] = /^\.(\d+)\.(.+)$/.exec(below) ?? [];
  if (layer === undefined) return suffixed(own(outerModules, module), field);
  return suffixed(own(layerModules, part.replace(/\.experts\.\d+\./, ".experts.*.")), field, `blk.${layer}.`);
}

/**
 * The parameter that a tensor of a GGUF file holds, with `*` in place of the number where it holds all experts'; undefined if the
 * architecture has none. The inverse of {@link ggufName}.
 */
export function parameterName(architecture: Architecture, tensor: string): string | undefined {
  const { outerModules = OUTER_MODULES, layers = LAYERS, layerModules } = architecture;
  const [, module, field] = /^(.*)\.(weight|bias)$/.exec(tensor) ?? [];
  if (module === undefined) return undefined;
  const [, layer, part] = /^blk\.(\d+)\.(.+)$/.exec(module) ?? [];
  if (layer === undefined) return suffixed(keyOf(outerModules, module), field);
  return suffixed(keyOf(layerModules, part), field, `${layers}.${layer}.`);
}

/** Whether a parameter is one expert's. */
export function isExpert(parameter: string): boolean {
  return /\.experts\.\d+\./.test(parameter);
}

/** Whether a file holds a parameter with 1 added. */
export function isOffset({ offsetsNorms }: Architecture, parameter: string): boolean {
  return offsetsNorms === true && parameter.endsWith("norm.weight");
}

/** Whether a file holds a parameter transposed. */
export function isTransposed(architecture: Architecture, parameter: string): boolean {
  const { transposesLayers, layers = LAYERS } = architecture;
  return transposesLayers === true && parameter.startsWith(`${layers}.`) && /\.c_\w+\.weight$/.test(parameter);
}

function suffixed(name: string | undefined, field: string, prefix = ""): string | undefined {
  return name === undefined ? undefined : `${prefix}${name}.${field}`;
}

function own(names: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(names, key) ? names[key] : undefined;
}

function keyOf(names: Readonly<Record<string, string>>, value: string): string | undefined {
  return Object.keys(names).find((key) => names[key] === value);
}
