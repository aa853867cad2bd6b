import { z } from "zod";
import { show } from "../checkpoint/issues.ts";
import { closed, optional, unsupported } from "./fields.ts";
import { recipeArgsSchema, recipeSchemeSchema } from "./scheme.ts";

/** Names of modules: a list, or one alone. */
export const names = z.union([z.array(z.string()), z.string().transform((name) => [name])], {
  error: ({ input }) => `${input === undefined ? "missing" : `found ${show(input)}`}, expected a list of names`,
});

/** A field that is read and changes nothing. */
const ignored = z
  .unknown()
  .optional()
  .transform(() => undefined);

const schedule = unsupported("A schedule is for training.");

/** Fields of llm-compressor's `Modifier`; `group` is a label. */
export const modifierFields = {
  index: schedule,
  group: optional(z.string()).transform(() => undefined),
  start: schedule,
  end: schedule,
  update: schedule,
  // llm-compressor writes it into its own recipes; it follows from the other fields
  requires_calibration_data: optional(z.boolean()).transform(() => undefined),
};

/** Fields of llm-compressor's `QuantizationMixin`. */
const quantizationFields = {
  scheme: optional(
    z.union([z.string(), z.record(z.string(), names)], {
      error: ({ input }) => `found ${show(input)}, expected a preset, or a mapping of presets to targets`,
    }),
  ),
  config_groups: optional(z.record(z.string(), recipeSchemeSchema)),
  targets: names.optional(),
  ignore: names.optional(),
  kv_cache_scheme: optional(recipeArgsSchema),
  weight_observer: optional(z.string()),
  input_observer: optional(z.string()),
  output_observer: optional(z.string()),
  observer: optional(
    closed({ weights: optional(z.string()), input: optional(z.string()), output: optional(z.string()) }),
  ),
  bypass_divisibility_checks: unsupported("Add the modules to ignore.", false),
};

const bothObservers = {
  error: "given with weight_observer, input_observer or output_observer, expected one spelling",
  path: ["observer"],
};

/** `observer` is another spelling of the three fields that name one each. */
interface ObserverFields {
  readonly observer?: { readonly weights?: string; readonly input?: string; readonly output?: string };
  readonly weightObserver?: string;
  readonly inputObserver?: string;
  readonly outputObserver?: string;
}

/** Fields of `QuantizationModifier`. */
export const quantizationSchema = closed({ ...modifierFields, ...quantizationFields })
  .refine(spellsObserversOnce, bothObservers)
  .transform(mergeObservers);

/** Fields of `GPTQModifier`; those of older releases are read where they change nothing. */
export const gptqSchema = closed({
  ...modifierFields,
  ...quantizationFields,
  block_size: z.int().positive().optional(),
  dampening_frac: z.number().nonnegative().optional(),
  actorder: z
    .enum(["static", "weight"], { error: ({ input }) => `found ${show(input)}, expected static, weight or null` })
    .nullable()
    .optional(),
  refinement_sweeps: z.int().nonnegative().optional(),
  preset: optional(z.enum(["best"], { error: ({ input }) => `found ${show(input)}, expected best` })),
  offload_hessians: unsupported("Hessians are kept where there is room.", false, true),
  batched_quantization: ignored,
  sequential_update: unsupported("Subgraphs are always compressed one after another.", true),
  sequential_targets: names
    .nullable()
    .transform((targets) => targets ?? undefined)
    .optional(),
})
  .refine(spellsObserversOnce, bothObservers)
  .transform(mergeObservers);

/** Fields of modifiers that rotate. */
const rotationFields = {
  transform_type: optional(
    z.enum(["hadamard", "random-hadamard"], {
      error: ({ input }) => `found ${show(input)}, expected hadamard or random-hadamard, which keep lengths`,
    }),
  ),
  transform_block_size: optional(z.int().positive()),
  randomize: unsupported("Places of one width share a matrix.", false),
  learnable: unsupported("Nothing is trained.", false),
  precision: unsupported("Weights are rotated in double precision.", "torch.float64", "float64"),
  transform_config: unsupported("Say what is rotated by the other fields."),
};

/** Names in any case, as in the reference. */
function rotations<const Names extends readonly string[]>(known: Names, error: string) {
  const spelled = z.string().transform((name) => known.find((one) => one.toLowerCase() === name.toLowerCase()));
  return optional(z.array(spelled.pipe(z.enum(known, error))).min(1));
}

/** Fields of `SpinQuantModifier`. */
export const spinQuantSchema = closed({
  ...modifierFields,
  ...rotationFields,
  rotations: rotations(["R1", "R2", "R4"], "not supported, expected R1, R2 or R4: R3 would rotate keys at run time"),
  mappings: unsupported("What is rotated follows from the model."),
  norm_mappings: unsupported("Which norms move follows from the model."),
});

/** Fields of `QuIPModifier`. */
export const quipSchema = closed({
  ...modifierFields,
  ...rotationFields,
  rotations: rotations(["v", "u"], "no such rotation, expected v or u"),
  targets: optional(names),
  ignore: optional(names),
});

/** `[[balanced…], smoothed]`. */
const smoothQuantMapping = z.tuple([names, z.string()], {
  error: ({ input }) => `found ${show(input)}, expected a list of linears and the norm that they read`,
});

/** Fields of `SmoothQuantModifier` and of its variant `LogarithmicEqualizationModifier`. */
export const smoothQuantSchema = closed({
  ...modifierFields,
  smoothing_strength: z.number().min(0).max(1).optional(),
  mappings: optional(z.array(smoothQuantMapping)),
  ignore: optional(names),
  algorithm: z.enum(["smoothquant", "log_equalization"]).optional(),
  num_calibration_steps: ignored,
  calibration_function: unsupported("Calibration data is the run's."),
});

/** Where AWQ looks, the trace shows: `activation_hook_target` is read and changes nothing. */
const awqMapping = closed({
  smooth_layer: z.string(),
  balance_layers: names,
  activation_hook_target: optional(z.string()).transform(() => undefined),
});

/** Fields of `AWQModifier`: its own, and those of the quantization that older recipes give it. */
export const awqSchema = closed({
  ...modifierFields,
  ...quantizationFields,
  mappings: optional(z.array(awqMapping)),
  duo_scaling: z
    .union([z.boolean(), z.literal("both")], {
      error: ({ input }) => `found ${show(input)}, expected true, false or "both"`,
    })
    .optional(),
  n_grid: z.int().min(4).optional(),
  offload_device: ignored,
})
  .refine(spellsObserversOnce, bothObservers)
  .transform(mergeObservers);

function spellsObserversOnce({ observer, weightObserver, inputObserver, outputObserver }: ObserverFields): boolean {
  return !observer || !(weightObserver ?? inputObserver ?? outputObserver);
}

/** Spells `observer` as the three fields. */
function mergeObservers<T extends ObserverFields>({ observer, ...rest }: T): Omit<T, "observer"> {
  if (!observer) return rest;
  const { weights, input, output } = observer;
  return {
    ...rest,
    ...(weights !== undefined && { weightObserver: weights }),
    ...(input !== undefined && { inputObserver: input }),
    ...(output !== undefined && { outputObserver: output }),
  };
}
