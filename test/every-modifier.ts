/** A recipe that a fixture's model takes. */
interface FittingRecipe {
  /** Name of the model; a Llama by default. */
  readonly model?: string;
  /** Options that are not the defaults, where there are some. */
  readonly recipe: string;
}

const groups = (weights: string) => `config_groups: {g: {targets: [Linear], weights: {num_bits: 4, ${weights}}}}`;
const int4 = groups("group_size: 32, symmetric: false");
const roundToNearest = `QuantizationModifier: {${int4}, ignore: [lm_head]}`;

/** A recipe with each modifier that recipes can name, in the order of the registry. */
export const EVERY_MODIFIER: Readonly<Record<string, FittingRecipe>> = {
  AWQModifier: { recipe: `AWQModifier: {n_grid: 4, duo_scaling: both}\n${roundToNearest}` },
  GPTQModifier: {
    recipe: `GPTQModifier: {${int4}, ignore: [lm_head], block_size: 16, dampening_frac: 0.02, actorder: null, refinement_sweeps: 1}`,
  },
  LogarithmicEqualizationModifier: { recipe: `LogarithmicEqualizationModifier: {}\n${roundToNearest}` },
  QuantizationModifier: {
    recipe:
      "QuantizationModifier: {scheme: FP8, weight_observer: imatrix_mse, kv_cache_scheme: {num_bits: 8, type: float}}",
  },
  QuIPModifier: {
    recipe: `QuIPModifier: {rotations: [v, u], transform_type: hadamard, transform_block_size: 16}\n${roundToNearest}`,
  },
  SmoothQuantModifier: {
    recipe: `SmoothQuantModifier: {smoothing_strength: 0.7, mappings: [[['re:.*q_proj', 're:.*k_proj', 're:.*v_proj'], 're:.*input_layernorm']]}`,
  },
  SpinQuantModifier: {
    recipe: `SpinQuantModifier: {rotations: [R1], transform_type: random-hadamard}\n${roundToNearest}`,
  },
  REAPPruningModifier: { model: "mixtral", recipe: "REAPPruningModifier: {sparsity: 0.5}" },
  SparseGPTModifier: {
    recipe: "SparseGPTModifier: {sparsity: 0.4, sparsity_profile: owl, owl_m: 3, owl_lmbda: 0.05, ignore: [lm_head]}",
  },
  WandaPruningModifier: {
    recipe: "WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:4', targets: ['re:.*mlp.*']}",
  },
  MagnitudePruningModifier: {
    recipe: "MagnitudePruningModifier: {final_sparsity: 0.5, mask_structure: 'block_4,1', targets: [Linear]}",
  },
  ConstantPruningModifier: {
    recipe:
      "MagnitudePruningModifier: {final_sparsity: 0.5, targets: [Linear]}\n" +
      `ConstantPruningModifier: {targets: [Linear], ignore: [lm_head]}\n${roundToNearest}`,
  },
};
