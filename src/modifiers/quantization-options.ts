import { timeLimited } from "../checkpoint/time-limit.ts";
import { RecipeError } from "../errors.ts";
import { bestMatch } from "../nn/best-match.ts";
import { Conv1D } from "../nn/conv1d.ts";
import { Embedding, Linear } from "../nn/linear.ts";
import { matchesAny, matchModules } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import { resolveWeightObserver } from "../observers/registry.ts";
import { presetScheme } from "../schemes/presets.ts";
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
  /** Observer of the weights, in place of the one in the schemes. */
  readonly weightObserver?: string | null;
}

/** Schemes in the order in which the options give them. @throws RecipeError for contradictions and unknown presets */
export function resolveSchemes(modifier: string, options: QuantizationOptions): QuantizationScheme[] {
  const { scheme, configGroups, targets = ["Linear"], weightObserver } = options;
  if (scheme !== undefined && configGroups !== undefined) {
    throw new RecipeError(`${modifier}: both scheme and config_groups, expected one of them. Remove the other.`);
  }
  const schemes = configGroups
    ? Object.entries(configGroups).map(([name, group]) => completeScheme(group, `${modifier}.config_groups.${name}`))
    : presets(modifier, scheme, targets);
  if (weightObserver == null) return schemes;
  return schemes.map((one) => ({ ...one, weights: one.weights && { ...one.weights, observer: weightObserver } }));
}

function presets(
  modifier: string,
  scheme: QuantizationOptions["scheme"],
  targets: readonly string[],
): QuantizationScheme[] {
  if (scheme === undefined) {
    throw new RecipeError(`${modifier}: neither scheme nor config_groups, expected one of them. Add scheme: W4A16.`);
  }
  if (typeof scheme === "string") return [presetScheme(scheme, targets)];
  return Object.entries(scheme).map(([preset, presetTargets]) => presetScheme(preset, presetTargets));
}

/**
 * The scheme of every module that one of `schemes` targets and `ignore` does not name, with the observer that it gets.
 *
 * @throws RecipeError naming targets that match nothing, and every module that its scheme does not fit
 */
export function assignSchemes(
  modifier: string,
  model: Module,
  schemes: readonly QuantizationScheme[],
  { ignore = [] }: QuantizationOptions,
  { warn }: ModifierContext,
): Map<Linear, QuantizationScheme> {
  for (const { targets } of schemes) matchModules(model, targets);
  const observed = withObservers(schemes, warn);
  const assigned = timeLimited(matchSchemes, `${modifier}: targets and ignore`, { failure: RecipeError })(
    model,
    observed,
    ignore,
  );
  if (assigned.size === 0) {
    throw new RecipeError(`${modifier}: no module left to quantize, expected some. Check targets and ignore.`);
  }
  checkShapes(model, assigned);
  return assigned;
}

function matchSchemes(
  model: Module,
  schemes: readonly QuantizationScheme[],
  ignore: readonly string[],
): Map<Linear, QuantizationScheme> {
  const assigned = new Map<Linear, QuantizationScheme>();
  for (const [path, module] of model.namedModules()) {
    const scheme = bestMatch(path, module, schemes);
    if (!scheme?.weights || matchesAny(ignore, path, module)) continue;
    if (module instanceof Embedding || module instanceof Conv1D)
      throw new RecipeError(`${path}: of class ${module.constructor.name}, expected a Linear. Add it to ignore.`);
    if (module instanceof Linear) assigned.set(module, scheme);
  }
  return assigned;
}

/** The schemes with the names of the observers that their weights get: config.json has them. */
function withObservers(
  schemes: readonly QuantizationScheme[],
  warn: ModifierContext["warn"],
): readonly QuantizationScheme[] {
  const warnings = new Set<string>();
  const observed = schemes.map((scheme) => {
    if (!scheme.weights) return scheme;
    const { observer, warning } = resolveWeightObserver(scheme.weights.observer);
    if (warning) warnings.add(warning);
    return { ...scheme, weights: { ...scheme.weights, observer: observer.name } };
  });
  for (const warning of warnings) warn(warning);
  return observed;
}

/** Collects every misfit before it throws, so that a recipe is corrected once. */
function checkShapes(model: Module, assigned: ReadonlyMap<Linear, QuantizationScheme>): void {
  const problems: string[] = [];
  for (const [path, module] of model.namedModules()) {
    const args = module instanceof Linear ? assigned.get(module)?.weights : undefined;
    if (!args) continue;
    try {
      scaleShape(args, (module as Linear).weight.shape, path);
    } catch (error) {
      if (!(error instanceof RecipeError)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new RecipeError(problems.join("\n"));
}
