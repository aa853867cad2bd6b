/**
 * Recipes that a name stands for. "best" is what measured best of what takes less than twice as long as GPTQ: a Hadamard rotation
 * of what each linear reads, within each group of columns that has a scale, then GPTQ under ranges that the Hessian's diagonal
 * weighs.
 */
const NAMED_RECIPES: Readonly<Record<string, string>> = {
  best: `\
args: { bits: 4, group_size: 64, ignore: [lm_head] }
best_stage:
  best_modifiers:
    QuIPModifier: { transform_type: hadamard, transform_block_size: $group_size, ignore: $ignore }
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
