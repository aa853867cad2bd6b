/**
 * Recipes that a name stands for. "best" is what measured best of what takes at most twice as long as GPTQ: rotations that are
 * moved into the weights (R1, R2), one that stays at run time (R4), then GPTQ under ranges that the Hessian's diagonal weighs.
 */
const NAMED_RECIPES: Readonly<Record<string, string>> = {
  best: `
args: { bits: 4, group_size: 64, rotations: [R1, R2, R4], block_size: null, ignore: [lm_head] }
best_stage:
  best_modifiers:
    SpinQuantModifier: { rotations: $rotations, transform_block_size: $block_size }
    GPTQModifier:
      preset: best
      ignore: $ignore
      config_groups:
        group_0:
          targets: [Linear]
          weights: { num_bits: $bits, type: int, symmetric: true, strategy: group, group_size: $group_size }
`,
};

/** The text of the recipe of that name; undefined if there is none. */
export function namedRecipe(name: string): string | undefined {
  return Object.hasOwn(NAMED_RECIPES, name) ? NAMED_RECIPES[name] : undefined;
}
