import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { RecipeError } from "../errors.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import {
  type CalibrationData,
  type CalibrationOptions,
  type CalibrationSource,
  loadCalibrationData,
} from "./calibration.ts";
import { loadTokenizer } from "./tokenizer.ts";

/** Where the data is, how it is read, and who is told what the user should know of it. */
export interface ModifierDataOptions extends CalibrationOptions {
  readonly dataset?: CalibrationSource;
  readonly onWarning: (message: string) => void;
}

/** Batches for the modifiers that need any; undefined if none does. @throws RecipeError where there is no data for them */
export async function loadForModifiers(
  modifiers: readonly Modifier[],
  checkpoint: Checkpoint,
  { dataset, onWarning, ...options }: ModifierDataOptions,
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
  for (const message of data.warnings) onWarning(message);
  return data;
}
