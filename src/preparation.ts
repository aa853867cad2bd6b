import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { type CalibrationData, loadCalibrationData } from "./data/calibration.ts";
import { checkTokens } from "./data/check-tokens.ts";
import { sourceName } from "./data/rows.ts";
import { loadTokenizer } from "./data/tokenizer.ts";
import { RecipeError } from "./errors.ts";
import { checkExports } from "./export/beside-output.ts";
import { bindCheckpoint } from "./formats/bind-checkpoint.ts";
import type { CausalLM } from "./models/causal-lm.ts";
import { createModel } from "./models/registry.ts";
import { initializeModifiers, mergeQuantization } from "./modifiers/initialize.ts";
import type { Modifier } from "./modifiers/modifier.ts";
import { calibrateAllExperts } from "./nn/experts.ts";
import { transformGroups } from "./nn/online-transform.ts";
import type { OneshotOptions } from "./oneshot-options.ts";
import { timeStep } from "./profile/profiler.ts";
import { createModifiers } from "./recipe/modifiers.ts";
import { profileReads } from "./sequential/profile-run.ts";
import { rewriteModel } from "./sequential/rewrite-model.ts";
import { allModifiers, type ShrunkModel, shrinkModel } from "./sequential/shrink-model.ts";

/** What is known of a run before it begins. */
export interface Preparation extends ShrunkModel {
  /** The model as the checkpoint has it, and bound to that: the same as `model`, or a larger one. */
  readonly original: CausalLM;
  /** Undefined if no modifier needs any. */
  readonly data?: CalibrationData;
}

/** Resolves and checks all that a run works with; weights are read last, for a check of what rewrites them. */
export async function prepare(checkpoint: Checkpoint, options: Omit<OneshotOptions, "output">): Promise<Preparation> {
  const prepared = await initializeModel(checkpoint, options);
  checkWorkers(prepared, options);
  const all = allModifiers(prepared);
  const data = await timeStep(options.profiler, "tokenize", () => calibrationData(all, checkpoint, options));
  if (data) checkTokens(sourceName(options.dataset ?? []), data.batches, prepared.original.lm_head.outFeatures);
  await rewrite(prepared, options);
  return { ...prepared, data };
}

/** The model and the modifiers of a run, initialised; what they change all over the model is changed. */
export async function prepareModel(
  checkpoint: Checkpoint,
  options: Omit<OneshotOptions, "output" | "model">,
): Promise<Omit<Preparation, "data">> {
  const prepared = await initializeModel(checkpoint, options);
  await rewrite(prepared, options);
  return prepared;
}

/** A worker makes its model of the checkpoint alone. @throws RecipeError with a modifier that makes the model smaller */
function checkWorkers({ shrinking: [first] }: ShrunkModel, { workers = 1 }: Pick<OneshotOptions, "workers">): void {
  if (!first || workers === 1) return;
  const { where = "recipe", name } = first.modifier;
  throw new RecipeError(
    `${where}: ${name}: with ${workers} workers, expected one, as they read the checkpoint's own model and not the smaller one. ` +
      "Leave workers out.",
  );
}

async function initializeModel(
  checkpoint: Checkpoint,
  options: Omit<OneshotOptions, "output" | "model">,
): Promise<Omit<Preparation, "data">> {
  const warn = (message: string) => options.onProgress?.({ type: "warning", message });
  const create = (config: Checkpoint["config"]) => {
    const model = createModel(config, { where: checkpoint.pathOf("config.json") });
    if (options.moeCalibrateAllExperts) calibrateAllExperts(model);
    return model;
  };
  const original = create(checkpoint.config);
  bindCheckpoint(original, checkpoint);
  profileReads(original, options.profiler);
  const all = createModifiers(options.recipe, { variables: options.recipeArgs, stage: options.stage });
  const shrunk = shrinkModel(original, all, (change) => create(change(checkpoint.config)), { warn });
  const { model, modifiers } = shrunk;
  initializeModifiers(modifiers, model, { warn });
  const hasTransforms =
    transformGroups(model).length > 0 || modifiers.some(({ transformsAtRunTime }) => transformsAtRunTime);
  await checkExports({ checkpoint, model, quantization: mergeQuantization(modifiers), hasTransforms }, options);
  return { ...shrunk, original };
}

function rewrite({ model, modifiers }: ShrunkModel, options: Omit<OneshotOptions, "output" | "model">): Promise<void> {
  return rewriteModel(model, modifiers, { ...options, check: options.selfCheck, device: options.device ?? "cpu" });
}

/** Batches for the modifiers that need any; undefined if none does. */
async function calibrationData(
  modifiers: readonly Modifier[],
  checkpoint: Checkpoint,
  { dataset, ...options }: Omit<OneshotOptions, "output">,
): Promise<CalibrationData | undefined> {
  const needsData = modifiers.find(({ requiresCalibrationData }) => requiresCalibrationData);
  if (!needsData) return undefined;
  if (dataset === undefined) {
    throw new RecipeError(
      `${needsData.name}: no calibration data, expected a dataset. Pass one, or use a recipe that needs none.`,
    );
  }
  const hasTokenizer = (await checkpoint.listFiles()).includes("tokenizer.json"); // token ids need none
  const tokenizer = options.tokenizer ?? (hasTokenizer ? await loadTokenizer(checkpoint.folder) : undefined);
  const data = await loadCalibrationData(dataset, { ...options, tokenizer });
  for (const message of data.warnings) options.onProgress?.({ type: "warning", message });
  return data;
}
