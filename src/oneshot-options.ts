import type { CalibrationOptions, CalibrationSource } from "./data/calibration.ts";
import type { ExportRequest } from "./export/registry.ts";
import type { Precision } from "./formats/output-plan.ts";
import type { RecipeSource } from "./recipe/modifiers.ts";
import type { Variables } from "./recipe/variables.ts";
import type { DispatchOptions } from "./sequential/dispatch.ts";
import type { RunControl } from "./sequential/events.ts";
import type { IntermediatesOptions } from "./sequential/intermediates.ts";
import type { SubgraphOptions } from "./sequential/trace-for-run.ts";

/**
 * Arguments of `oneshot`; names and meanings as in llm-compressor's entry point of that name. To what is named in `format`
 * beside `compressed-tensors` the output is exported once it is finished, into a folder beside it: `<output>-gguf`.
 */
export interface OneshotOptions
  extends RunControl,
    SubgraphOptions,
    CalibrationOptions,
    IntermediatesOptions,
    Partial<ExportRequest>,
    Omit<DispatchOptions, "onWarning"> {
  /** A folder with config.json, safetensors and tokenizer files, or a Hub id. */
  readonly model: string;
  /** A recipe's file or text, the name of one that layerwise brings ("best"), or modifiers. */
  readonly recipe: RecipeSource;
  /** Values for the recipe's variables, over those in its `args`. */
  readonly recipeArgs?: Variables;
  /** Takes only the recipe's stages whose names begin so. */
  readonly stage?: string;
  /** Calibration data: a file, or rows. Needed if a modifier of the recipe needs any. */
  readonly dataset?: CalibrationSource;
  /** The folder that the compressed checkpoint appears in. */
  readonly output: string;
  /** Replaces an output folder that exists. False. */
  readonly overwrite?: boolean;
  /** Goes on where an earlier run with the same arguments was stopped or killed; begins anew if there is none. False. */
  readonly resume?: boolean;
  /** Bytes of one file of weights; more are split over several files. 20 GB. */
  readonly maxShardSize?: number;
  /** The dtype to save in: "auto", the default, keeps each tensor's own. */
  readonly precision?: Precision;
  /** Whether experts are calibrated with all tokens, not only with those that are routed to them. False. */
  readonly moeCalibrateAllExperts?: boolean;
  /** Whether later subgraphs are calibrated on what the compressed ones before them give. True. */
  readonly propagateError?: boolean;
  /** Whether the subgraphs are first compared with the model as one graph, on one sample. True. */
  readonly selfCheck?: boolean;
  /**
   * Processes that the calibration batches are shared out to, with threads and memory budget. It pays where one process does
   * not keep all cores at work. What they see is summed in another order: results differ by rounding. 1, this process.
   */
  readonly workers?: number;
  /** Whether the files are read back before they are moved into place. True. */
  readonly verify?: boolean;
}

/**
 * Which options decide what is written: a run goes on with another only if they are the same. Model, recipe and data have
 * digests of their own; the rest decides how the output is made, or what is told meanwhile.
 */
export const DECIDES_OUTPUT: Readonly<Record<keyof OneshotOptions, boolean>> = {
  model: false,
  recipe: false,
  recipeArgs: false,
  stage: false,
  dataset: false,
  tokenizer: false,
  output: false,
  format: false,
  dtype: false,
  embeddingDtype: false,
  overwrite: false,
  resume: false,
  threads: false,
  selfCheck: false,
  verify: false,
  onProgress: false,
  signal: false,
  profiler: false,
  memoryBudget: false,
  device: true,
  workers: true,
  precision: true,
  maxShardSize: true,
  onePass: true,
  sequentialTargets: true,
  sequentialTargetsPerSubgraph: true,
  tracingIgnore: true,
  moeCalibrateAllExperts: true,
  propagateError: true,
  textColumn: true,
  maxSeqLength: true,
  addSpecialTokens: true,
  padToMaxLength: true,
  concatenateData: true,
  numCalibrationSamples: true,
  shuffleCalibrationSamples: true,
  seed: true,
  batchSize: true,
  dataCollator: true,
};
