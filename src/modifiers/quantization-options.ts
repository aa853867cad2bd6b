import { timeLimited } from "../checkpoint/time-limit.ts";
import { RecipeError } from "../errors.ts";
import { attendOf } from "../nn/attend.ts";
import { bestMatch } from "../nn/best-match.ts";
import { Conv1D } from "../nn/conv1d.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { matchesAny, matchModules } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import { memorylessMinmax, minmax } from "../observers/minmax.ts";
import { type ObserverRegistry, resolveActivationObserver, resolveWeightObserver } from "../observers/registry.ts";
import { activationTensors } from "../schemes/activation.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { presetScheme } from "../schemes/presets.ts";
import { isCalibrated, type ModelQuantization, quantizedValues } from "../schemes/quantized-values.ts";
import { completeScheme, type PartialScheme, type QuantizationScheme } from "../schemes/scheme.ts";
import { scaleShape } from "../schemes/tiling.ts";
import type { ModifierContext } from "./modifier.ts";

/** The fields that every quantizing modifier has, as in llm-compressor's quantization mixin. */
export interface QuantizationOptions {
  /** Name of a preset for all `targets`, or presets with the targets of each. Not together with `configGroups`. */
  readonly scheme?: string | Readonly<Record<string, readonly string[]>>;
  /** Schemes written out by hand, by group name. */
  readonly configGroups?: Readonly<Record<string, PartialScheme>>;
  /** Modules that `scheme` is for; `["Linear"]` by default. */
  readonly targets?: readonly string[];
  /** Modules to leave as they are. */
  readonly ignore?: readonly string[];
  /** How keys and values are quantized before attention reads them, in every layer. */
  readonly kvCacheScheme?: Partial<QuantizationArgs> | null;
  /** Observer of the weights, in place of the one in the schemes. */
  readonly weightObserver?: string | null;
  /** Observer of inputs, in place of the one in the schemes. */
  readonly inputObserver?: string | null;
  /** Observer of outputs, in place of the one in the schemes. */
  readonly outputObserver?: string | null;
}

/** Schemes in the order in which the options give them. @throws RecipeError for contradictions and unknown presets */
export function resolveSchemes(modifier: string, options: QuantizationOptions): QuantizationScheme[] {
  const { scheme, configGroups, targets = ["Linear"] } = options;
  if (scheme !== undefined && configGroups !== undefined) {
    throw new RecipeError(`${modifier}: both scheme and config_groups, expected one of them. Remove the other.`);
  }
  const schemes = configGroups
    ? Object.entries(configGroups).map(([name, group]) => completeScheme(group, `${modifier}.config_groups.${name}`))
    : presets(modifier, scheme, targets, options);
  return schemes.map((one) => withObservers(one, options));
}

/** How the options quantize keys and values. @throws RecipeError for arguments that do not fit */
export function resolveKvCacheScheme(
  modifier: string,
  { kvCacheScheme }: QuantizationOptions,
): QuantizationArgs | null {
  return kvCacheScheme ? completeArgs(kvCacheScheme, `${modifier}.kv_cache_scheme`) : null;
}

/** A scheme with the names of the observers that its values get: config.json has them. */
function withObservers(scheme: QuantizationScheme, options: QuantizationOptions): QuantizationScheme {
  const { weightObserver, inputObserver, outputObserver } = options;
  return {
    ...scheme,
    weights: observedBy(scheme.weights, weightObserver, memorylessMinmax.name),
    inputActivations: observedBy(scheme.inputActivations, inputObserver, minmax.name),
    outputActivations: observedBy(scheme.outputActivations, outputObserver, minmax.name),
  };
}

function observedBy<Args extends QuantizationArgs | null>(
  args: Args,
  given: string | null | undefined,
  otherwise: string,
): Args {
  if (!args) return args;
  return { ...args, observer: given ?? args.observer ?? (args.dynamic === true ? null : otherwise) };
}

function presets(
  modifier: string,
  scheme: QuantizationOptions["scheme"],
  targets: readonly string[],
  { kvCacheScheme }: QuantizationOptions,
): QuantizationScheme[] {
  if (scheme === undefined && kvCacheScheme) return [];
  if (scheme === undefined) {
    throw new RecipeError(`${modifier}: neither scheme nor config_groups, expected one of them. Add scheme: W4A16.`);
  }
  if (typeof scheme === "string") return [presetScheme(scheme, targets)];
  return Object.entries(scheme).map(([preset, presetTargets]) => presetScheme(preset, presetTargets));
}

/**
 * What the options quantize in a model: the scheme of every module that one of `schemes` targets and `ignore` does not name.
 *
 * @throws RecipeError naming targets that match nothing, and every module that its scheme does not fit
 */
export function assignSchemes(
  modifier: string,
  model: Module,
  schemes: readonly QuantizationScheme[],
  options: QuantizationOptions,
  { warn }: ModifierContext,
  registry: ObserverRegistry,
): ModelQuantization {
  for (const { targets } of schemes) matchModules(model, targets);
  const kvCacheScheme = resolveKvCacheScheme(modifier, options);
  const assigned = timeLimited(matchSchemes, `${modifier}: targets and ignore`, { failure: RecipeError })(
    model,
    schemes,
    options.ignore ?? [],
  );
  if (assigned.size === 0 && !kvCacheScheme) {
    throw new RecipeError(`${modifier}: no module left to quantize, expected some. Check targets and ignore.`);
  }
  for (const warning of observerWarnings(assigned, registry)) warn(warning);
  checkShapes(model, { schemes: assigned, kvCacheScheme }, registry);
  return { schemes: assigned, kvCacheScheme };
}

function matchSchemes(
  model: Module,
  schemes: readonly QuantizationScheme[],
  ignore: readonly string[],
): Map<Module, QuantizationScheme> {
  const assigned = new Map<Module, QuantizationScheme>();
  for (const [path, module] of model.namedModules()) {
    const scheme = bestMatch(path, module, schemes);
    if (!scheme || matchesAny(ignore, path, module)) continue;
    const target = targetIn(path, module, scheme);
    if (target) assigned.set(target, scheme);
  }
  return assigned;
}

/** What a scheme quantizes of a module that it targets: a linear itself, of attention what it reads. */
function targetIn(path: string, module: Module, scheme: QuantizationScheme): Module | undefined {
  const { weights, inputActivations, outputActivations } = scheme;
  if (!weights && !inputActivations && !outputActivations) return undefined;
  if (module instanceof Linear) return module;
  if (weights && (module instanceof Embedding || module instanceof Conv1D))
    throw new RecipeError(`${path}: of class ${module.constructor.name}, expected a Linear. Add it to ignore.`);
  return weights || !inputActivations ? undefined : attendOf(module);
}

/** What the user should know about the observers of weights, each once. */
function observerWarnings(
  assigned: ReadonlyMap<Module, QuantizationScheme>,
  registry: ObserverRegistry,
): ReadonlySet<string> {
  const names = [...assigned.values()].flatMap(({ weights }) => (weights ? [weights.observer] : []));
  return new Set(names.flatMap((name) => resolveWeightObserver(name, registry).warning ?? []));
}

/** Collects every misfit before it throws, so that a recipe is corrected once. */
function checkShapes(model: Module, quantization: ModelQuantization, registry: ObserverRegistry): void {
  const problems: string[] = [];
  for (const [path, module] of model.namedModules()) {
    try {
      checkModule(path, module, quantization, registry);
    } catch (error) {
      if (!(error instanceof RecipeError)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new RecipeError(problems.join("\n"));
}

function checkModule(path: string, module: Module, quantization: ModelQuantization, registry: ObserverRegistry): void {
  const weights = quantization.schemes.get(module)?.weights;
  if (weights && module instanceof Linear) {
    scaleShape(weights, module.weight.shape, path);
    resolveWeightObserver(weights.observer, registry).observer.search?.(weights);
  }
  for (const value of quantizedValues(module, quantization)) {
    activationTensors(value, path);
    if (isCalibrated(value)) resolveActivationObserver(value.args.observer, registry).search?.(value.args);
  }
}
