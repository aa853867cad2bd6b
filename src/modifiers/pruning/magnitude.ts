import { RecipeError } from "../../errors.ts";
import { type Pruned, smallestOfRuns, upToKthSmallest } from "../../kernels/select.ts";
import type { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import { finiteWeight } from "../../observers/finite-weight.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CompressionStage, Modifier } from "../modifier.ts";
import { type MagnitudeStructure, misfitOf, parseMagnitudeStructure, sumBlocks } from "./magnitude-structure.ts";
import { type PruningTargets, prunedLinears } from "./pruned-linears.ts";
import { withZeros } from "./scores.ts";

/** Options of {@link MagnitudePruningModifier}. */
export interface MagnitudePruningOptions extends PruningTargets {
  /** Share of the weights that become zero, from 0 to 1. */
  readonly finalSparsity: number;
  /** `unstructured`, the default; `block_R,C` prunes whole blocks of R rows and C columns; `N:M` N of every M neighbours. */
  readonly maskStructure?: string;
}

/**
 * Magnitude pruning (Han et al. 2015, arXiv:1506.02626): in each linear the ⌊share · count⌋ smallest |w| become zero, and
 * all that are equal to the largest of them; of blocks, those with the smallest Σ |w|. The reference's modifier of that
 * name follows a schedule of training and does nothing in one shot; here the final sparsity is reached at once.
 */
export class MagnitudePruningModifier implements Modifier {
  readonly name = "MagnitudePruningModifier";
  readonly requiresCalibrationData = false;
  targets: ReadonlySet<Linear> = new Set();
  readonly #structure: MagnitudeStructure;

  constructor(readonly options: MagnitudePruningOptions) {
    const { finalSparsity, maskStructure = "unstructured" } = options;
    this.#structure = parseMagnitudeStructure(maskStructure, `${this.name}.mask_structure`);
    if (finalSparsity >= 0 && finalSparsity <= 1) return;
    throw new RecipeError(`${this.name}.final_sparsity: ${finalSparsity}, expected a share from 0 to 1.`);
  }

  initialize(model: Module): void {
    const linears = prunedLinears(this.name, model, this.options).flat();
    const problems = linears.flatMap(({ path, module }) => misfitOf(this.#structure, module.weight.shape, path));
    if (problems.length > 0) throw new RecipeError(problems.join("\n"));
    this.targets = new Set(linears.map(({ module }) => module));
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      if (!this.targets.has(module as Linear)) continue;
      const start = performance.now();
      const weight = finiteWeight(await stage.weight(module as Linear), path);
      const pruned = smallestMagnitudes(weight, this.options.finalSparsity, this.#structure);
      stage.setPruned(module as Linear, new Tensor("F32", weight.shape, withZeros(weight.data, pruned)));
      stage.report({ module: path, seconds: (performance.now() - start) / 1000 });
    }
  }
}

/** Which weights become zero for a share of a weight. */
export function smallestMagnitudes(
  { data, shape: [, columns] }: Tensor<"F32">,
  sparsity: number,
  structure: MagnitudeStructure,
): Pruned {
  const magnitudes = data.map(Math.abs);
  if ("of" in structure) return smallestOfRuns(magnitudes, structure);
  const sums = sumBlocks(magnitudes, columns, structure);
  const count = Math.trunc(sums.length * sparsity);
  if (count === 0) return new Uint8Array(data.length);
  const blocks = upToKthSmallest(sums, count - 1);
  const across = columns / structure.columns;
  return Uint8Array.from(data, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    return blocks[Math.floor(row / structure.rows) * across + Math.floor(column / structure.columns)];
  });
}
