import { RecipeError } from "../../errors.ts";
import type { MaskStructure } from "../../kernels/select.ts";
import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import type { CompressionStage, ModifierContext } from "../modifier.ts";
import { misfit, parseMaskStructure } from "./mask-structure.ts";
import { OwlSurvey } from "./owl.ts";
import { type PrunedLinear, type PruningTargets, prunedLinears } from "./pruned-linears.ts";
import type { Sparsity } from "./scores.ts";

/** The fields that SparseGPT and Wanda share. */
export interface SparsityOptions extends PruningTargets {
  /** Share of the weights that become zero, from 0 to 1: one for all, or one for each matched target in the model's order. */
  readonly sparsity: number | readonly number[];
  /** `N:M` prunes N of every M neighbours in a row, and `sparsity` says nothing more; `0:0`, the default, asks for none. */
  readonly maskStructure?: string;
  /** "owl" spreads `sparsity` over the decoder layers: see {@link OwlSurvey}. Together with the two that follow. */
  readonly sparsityProfile?: "owl";
  /** M of OWL: weights that score more than M times the layer's mean are outliers. */
  readonly owlM?: number;
  /** λ of OWL: a layer's sparsity differs from the mean by at most 2λ. */
  readonly owlLmbda?: number;
}

/** Which linears are pruned, and how much of each. */
export class SparsityPlan {
  readonly structure: MaskStructure | null;
  /** What has to be known of the whole model first. */
  readonly survey?: OwlSurvey;
  #sparsities: ReadonlyMap<Linear, number> = new Map();

  /** @throws RecipeError for options that contradict one another; `modifier` is named */
  constructor(
    private readonly modifier: string,
    private readonly options: SparsityOptions,
  ) {
    this.structure = parseMaskStructure(options.maskStructure ?? "0:0", `${modifier}.mask_structure`);
    for (const value of [options.sparsity].flat()) {
      if (!(value >= 0 && value <= 1)) throw this.#invalid("sparsity", value, "a share from 0 to 1");
    }
    this.survey = this.#createSurvey();
  }

  /** @throws RecipeError for what does not fit the model */
  initialize(model: Module, { warn }: ModifierContext): void {
    const { sparsity } = this.options;
    const targets = prunedLinears(this.modifier, model, this.options);
    if (typeof sparsity !== "number" && sparsity.length !== targets.length) {
      throw this.#invalid("sparsity", `${sparsity.length} values`, `one for each of ${targets.length} targets`);
    }
    const shareOf = (target: number) => (typeof sparsity === "number" ? sparsity : sparsity[target]);
    const linears = targets.flat();
    this.#checkColumns(linears);
    this.#sparsities = new Map(targets.flatMap((all, target) => all.map(({ module }) => [module, shareOf(target)])));
    this.survey?.prepare(model, linears);
    if (linears.some(({ path }) => path === "lm_head")) {
      warn("lm_head is pruned, which costs more than it saves. Add it to ignore if that was not meant.");
    }
    this.#compareWithStructure(warn);
  }

  /** The linears that are pruned. */
  get targets(): Iterable<Linear> {
    return this.#sparsities.keys();
  }

  has(module: Module): module is Linear {
    return this.#sparsities.has(module as Linear);
  }

  /** Those that are in a stage, each with its share. */
  *targetsIn(stage: CompressionStage): Generator<PrunedLinear & Sparsity> {
    for (const [path, module] of stage.modules) {
      if (!this.has(module)) continue;
      const sparsity = this.survey?.sparsityOf(module) ?? (this.#sparsities.get(module) as number);
      yield { path, module, sparsity, structure: this.structure };
    }
  }

  #createSurvey(): OwlSurvey | undefined {
    const { sparsityProfile, owlM, owlLmbda, sparsity } = this.options;
    if (sparsityProfile === undefined && owlM === undefined && owlLmbda === undefined) return undefined;
    if (sparsityProfile === undefined || owlM === undefined || owlLmbda === undefined) {
      throw new RecipeError(
        `${this.modifier}: some of sparsity_profile: owl, owl_m and owl_lmbda, expected all three or none.`,
      );
    }
    if (typeof sparsity !== "number") throw this.#invalid("sparsity", "a list", "one number where OWL spreads it");
    if (this.structure)
      throw this.#invalid("mask_structure", this.options.maskStructure, "0:0 where OWL sets the shares");
    if (!(owlM > 0)) throw this.#invalid("owl_m", owlM, "a number above 0");
    if (!(owlLmbda >= 0 && sparsity - 2 * owlLmbda >= 0 && sparsity + 2 * owlLmbda <= 1)) {
      throw this.#invalid("owl_lmbda", owlLmbda, `one that keeps ${sparsity} ± 2 · owl_lmbda between 0 and 1`);
    }
    return new OwlSurvey({ sparsity, outlierFactor: owlM, spread: owlLmbda });
  }

  /** Collects every misfit before it throws, so that a recipe is corrected once. */
  #checkColumns(linears: readonly PrunedLinear[]): void {
    const { structure } = this;
    if (!structure) return;
    const problems = linears.flatMap(({ path, module }) => {
      const problem = misfit(structure, module.weight.shape[1]);
      return problem ? [`${path}: ${problem}`] : [];
    });
    if (problems.length > 0) throw new RecipeError(problems.join("\n"));
  }

  #compareWithStructure(warn: (message: string) => void): void {
    if (!this.structure) return;
    const share = this.structure.prune / this.structure.of;
    const others = [this.options.sparsity].flat().filter((sparsity) => sparsity !== share);
    if (others.length === 0) return;
    warn(
      `${this.modifier}: mask_structure ${this.options.maskStructure} prunes ${share} of every weight, whatever sparsity says (${others[0]}).`,
    );
  }

  #invalid(field: string, found: unknown, expected: string): RecipeError {
    return new RecipeError(`${this.modifier}.${field}: ${found}, expected ${expected}.`);
  }
}
