import { writeFileSync } from "node:fs";
import { CompressionError, RecipeError } from "../../errors.ts";
import { withExperts } from "../../models/config.ts";
import { ExpertShare, RouterMask, type SparseMoeBlock } from "../../nn/experts.ts";
import { matchesAny } from "../../nn/match.ts";
import type { Module } from "../../nn/module.ts";
import { transformGroups } from "../../nn/online-transform.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CompressionStage, ConfigChange, CoupledModules, Modifier } from "../modifier.ts";
import { neverRun } from "../shared-input.ts";
import { columnMagnitudes } from "../smoothing/reductions.ts";
import type { Tap } from "../tap.ts";
import { bindRetained, expertBlocks } from "./retained-experts.ts";

/** Options of {@link REAPPruningModifier}. */
export interface REAPOptions {
  /** Share of the experts of each layer that is left out, above 0 and below 1; rounded down. */
  readonly sparsity: number;
  /** Modules to leave as they are. As config.json has one number of experts, a block of experts cannot be among them. */
  readonly ignore?: readonly string[];
  /** A .json file that gets the experts that stay, by block. */
  readonly reportPath?: string;
}

/** A block of experts, and how it is observed. */
interface Block {
  readonly path: string;
  readonly module: SparseMoeBlock;
  readonly mask: RouterMask;
  readonly taps: readonly Tap[];
}

/** What is added to the logit of an expert that is left out: its weight is 0 in float32, and float16 holds the number. */
const LEFT_OUT = -30_000;

/**
 * REAP (arXiv:2510.13999): leaves out the experts that add least to what their layer gives, where they are chosen.
 *
 * The saliency of expert j is S_j = mean g_j ‖f_j(x)‖₂ over the tokens that are routed to it, g_j being the token's weight
 * for it and f_j(x) what it makes of the token. Of each layer the ⌊sparsity · experts⌋ with the least go; later layers
 * are observed without them. The rest keep their order, and their router's rows. The modifiers after it work on the
 * smaller model, which takes a run of its own before theirs.
 */
export class REAPPruningModifier implements Modifier {
  readonly name = "REAPPruningModifier";
  readonly requiresCalibrationData = true;
  coupled: readonly CoupledModules[] = [];
  #model?: Module;
  #blocks: readonly Block[] = [];
  #kept = 0;
  /** The experts that stay, by the path of their block. */
  readonly #retained = new Map<string, readonly number[]>();

  constructor(readonly options: REAPOptions) {
    const { sparsity, reportPath } = options;
    if (reportPath !== undefined && !reportPath.endsWith(".json"))
      throw new RecipeError(`REAPPruningModifier.report_path: ${reportPath}, expected a name that ends with .json.`);
    if (!(sparsity > 0 && sparsity < 1))
      throw new RecipeError(`REAPPruningModifier.sparsity: ${sparsity}, expected a number above 0 and below 1.`);
  }

  initialize(model: Module): void {
    this.#model = model;
    this.#blocks = expertBlocks(model).map(([path, module]) => this.#observe(path, module));
    if (this.#blocks.length === 0)
      throw new RecipeError(`${this.name}: no block of experts in this model, expected some. Leave the modifier out.`);
    if (transformGroups(model).length > 0)
      throw new RecipeError(`${this.name}: the model has transforms at run time, expected none. Prune before these.`);
    const [{ gate }] = this.#blocks.map(({ module }) => module);
    const { experts, topK } = gate.config;
    this.#kept = experts - Math.trunc(experts * this.options.sparsity);
    if (this.#kept === experts || this.#kept < topK) throw this.#misfit(experts, topK);
    this.coupled = this.#blocks.map(({ path, module }) => ({
      name: path,
      modules: [module.gate, ...module.shares],
    }));
  }

  taps(module: Module): readonly Tap[] {
    return this.#blocks.flatMap(({ taps }) => taps.filter((tap) => tap.module === module));
  }

  async compress(stage: CompressionStage): Promise<void> {
    const modules = new Set(stage.modules.map(([, module]) => module));
    for (const { path, module, mask, taps } of this.#blocks) {
      if (!modules.has(module.gate)) continue;
      const start = performance.now();
      const retained = mostSalient(
        taps.map((tap) => saliency(stage, path, tap)),
        this.#kept,
      );
      this.#retained.set(path, retained);
      const left = Float32Array.from(taps, (_, expert) => (retained.includes(expert) ? 0 : LEFT_OUT));
      stage.setWeight(mask, new Tensor("F32", [taps.length], left));
      stage.report({ module: path, seconds: (performance.now() - start) / 1000 });
    }
  }

  finalize(): void {
    const { reportPath } = this.options;
    if (reportPath !== undefined) writeFileSync(reportPath, JSON.stringify(Object.fromEntries(this.#retained)));
  }

  shrink(create: (change: ConfigChange) => Module): void {
    const small = create((config) => withExperts(config, this.#kept));
    if (this.#model) bindRetained(small, this.#model, (block) => this.#retainedIn(block));
  }

  #observe(path: string, module: SparseMoeBlock): Block {
    if (matchesAny(this.options.ignore ?? [], path, module)) {
      throw new RecipeError(
        `${this.name}.ignore: names ${path}, expected no block of experts, as config.json has one number of experts. ` +
          "Leave it out, or the modifier.",
      );
    }
    const mask = new RouterMask(module.gate.config.experts);
    module.gate.mask = mask;
    module.shares = module.experts.map(() => new ExpertShare());
    const taps = module.shares.map((share): Tap => ({ module: share, value: "output", reduce: columnMagnitudes }));
    return { path, module, mask, taps };
  }

  #misfit(experts: number, topK: number): RecipeError {
    const found = `${this.name}.sparsity: ${this.options.sparsity} leaves ${this.#kept} of ${experts} experts`;
    return new RecipeError(
      this.#kept === experts
        ? `${found}, expected fewer. Raise it.`
        : `${found}, expected at least the ${topK} that each token is routed to. Lower it.`,
    );
  }

  #retainedIn(block: string): readonly number[] {
    const retained = this.#retained.get(block);
    if (retained) return retained;
    throw new CompressionError(
      `${block}: experts read before any were chosen, expected the run of ${this.name} first.`,
    );
  }
}

/** Mean of what a tap has seen; 0 for an expert that no token is routed to. @throws CompressionError if its block was never run */
function saliency(stage: CompressionStage, path: string, tap: Tap): number {
  const seen = stage.statistic(tap);
  if (!seen) throw neverRun(path);
  const [sum, count] = seen.value.data;
  return sum / Math.max(count, 1);
}

/** The `count` experts of most saliency, of equal ones the later, in their own order. */
function mostSalient(saliencies: readonly number[], count: number): number[] {
  const falling = [...saliencies.keys()].sort((a, b) => saliencies[b] - saliencies[a] || b - a);
  return falling.slice(0, count).sort((a, b) => a - b);
}
