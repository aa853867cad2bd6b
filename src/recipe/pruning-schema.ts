import { z } from "zod";
import { show } from "../checkpoint/issues.ts";
import { closed, optional, unsupported } from "./fields.ts";
import { modifierFields, names } from "./schema.ts";

const share = z.number().min(0).max(1);

/** Read, and of no use where the model is not trained. */
const ofTraining = z
  .unknown()
  .optional()
  .transform(() => undefined);

/** Fields of llm-compressor's `SparsityModifierBase`. */
const sparsityFields = {
  ...modifierFields,
  sparsity: z.union([share, z.array(share)], {
    error: ({ input }) => `found ${show(input)}, expected a share from 0 to 1, or a list of them`,
  }),
  mask_structure: z.string().optional(),
  sparsity_profile: optional(z.string().toLowerCase().pipe(z.literal("owl"))),
  owl_m: optional(z.number().positive()),
  owl_lmbda: optional(z.number().nonnegative()),
  sequential_update: unsupported("Subgraphs are always compressed one after another.", true, false),
  targets: names.optional(),
  ignore: names.optional(),
};

/** Fields of `SparseGPTModifier`. */
export const sparseGptSchema = closed({
  ...sparsityFields,
  block_size: z.int().positive().optional(),
  dampening_frac: z.number().nonnegative().optional(),
  preserve_sparsity_mask: z.boolean().optional(),
  offload_hessians: unsupported("Hessians are kept where there is room.", false, true),
});

/** Fields of `WandaPruningModifier`. */
export const wandaSchema = closed(sparsityFields);

/** Fields of `REAPPruningModifier`. */
export const reapSchema = closed({
  ...modifierFields,
  sparsity: z.number(),
  ignore: names.optional(),
  report_path: optional(z.string()),
});

/** Fields of the modifiers that were made for training: when they start, end and change is read and means nothing. */
const scheduledFields = {
  ...modifierFields,
  start: ofTraining,
  end: ofTraining,
  update: ofTraining,
  targets: names.transform((targets) => targets.map((target) => (target === "__ALL_PRUNABLE__" ? "Linear" : target))),
  ignore: names.optional(),
};

/** Fields of `MagnitudePruningModifier`. */
export const magnitudePruningSchema = closed({
  ...scheduledFields,
  init_sparsity: optional(share).transform(() => undefined),
  final_sparsity: share,
  update_scheduler: ofTraining,
  scheduler_args: ofTraining,
  mask_structure: z.string().optional(),
  leave_enabled: unsupported("A mask is not lifted.", false, true),
  apply_globally: unsupported("Each module loses the same share.", false),
});

/** Fields of `ConstantPruningModifier`. */
export const constantPruningSchema = closed(scheduledFields);
