import { readFile } from "node:fs/promises";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parseFloats, stringifyFloats } from "../checkpoint/float-spelling.ts";
import { type Output, openOutput } from "../checkpoint/output.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { describeQuantization } from "./describe-quantization.ts";
import { narrow } from "./narrow.ts";
import { type OutputPlan, type Precision, planOutput, savedDType } from "./output-plan.ts";

/** What is written where, and how. */
export interface CompressedOutputOptions {
  /** Where the compressed checkpoint appears once it is whole. */
  readonly folder: string;
  readonly model: Module;
  readonly checkpoint: Checkpoint;
  readonly schemes: ReadonlyMap<Linear, QuantizationScheme>;
  readonly precision?: Precision;
  readonly maxShardSize?: number;
  readonly overwrite?: boolean;
}

/** What became of some modules: what is written in place of their parameters. */
export interface CompressedWeights {
  readonly quantized: ReadonlyMap<Linear, QuantizedWeight>;
  readonly parameters: ReadonlyMap<Parameter, Tensor<"F32">>;
}

/** Files of a checkpoint beside weights and configuration that go along with it. */
const COMPANIONS =
  /^(generation_config|tokenizer.*|special_tokens_map|added_tokens|vocab|preprocessor_config|chat_template)\.json$|\.jinja$|^merges\.txt$|^vocab\.txt$|\.model$/;

/** A compressed checkpoint while it is written, module by module; it appears whole at the end, or not at all. */
export class CompressedOutput {
  readonly #written = new Set<string>();

  private constructor(
    private readonly options: CompressedOutputOptions,
    private readonly plan: OutputPlan,
    private readonly output: Output,
  ) {}

  /** @throws CheckpointError for a folder that exists, unless `overwrite` */
  static async open(options: CompressedOutputOptions): Promise<CompressedOutput> {
    const { model, checkpoint, schemes, precision, folder, maxShardSize, overwrite } = options;
    const plan = planOutput(model, checkpoint, schemes, precision);
    return new CompressedOutput(
      options,
      plan,
      await openOutput({ folder, tensors: plan.tensors, maxShardSize, overwrite }),
    );
  }

  /** Writes the tensors of compressed modules. */
  async write({ quantized, parameters }: CompressedWeights): Promise<void> {
    for (const [module, weight] of quantized) {
      const place = this.plan.quantized.get(module);
      if (place)
        for (const [name, tensor] of place.format.compress(place.path, weight)) await this.output.write(name, tensor);
    }
    for (const [name, parameter] of this.plan.dense) {
      const changed = parameters.get(parameter);
      if (changed) await this.#writeDense(name, parameter, changed);
    }
  }

  /** Carries over all that was not changed, writes the configuration, and moves the folder into place. */
  async finish(recipe: string): Promise<void> {
    const { checkpoint, precision = "auto" } = this.options;
    for (const [name, parameter] of this.plan.dense) {
      if (this.#written.has(name)) continue;
      if (parameter.source?.dtype === savedDType(parameter, precision)) await this.output.copyTensor(name, checkpoint);
      else await this.#writeDense(name, parameter, await parameter.load());
    }
    for (const name of this.plan.surplus) await this.output.copyTensor(name, checkpoint);
    for (const file of await checkpoint.listFiles())
      if (COMPANIONS.test(file)) await this.output.copyFile(checkpoint.pathOf(file));
    const config = parseFloats(await readFile(checkpoint.pathOf("config.json"), "utf8"));
    await this.output.writeText("config.json", `${stringifyFloats(sortKeys(this.#changed(config as object)))}\n`);
    await this.output.writeText("recipe.yaml", recipe);
    await this.output.finish();
  }

  /** Leaves nothing behind. */
  abort(): Promise<void> {
    return this.output.abort();
  }

  async #writeDense(name: string, parameter: Parameter, weight: Tensor<"F32">): Promise<void> {
    await this.output.write(name, narrow(name, weight, savedDType(parameter, this.options.precision ?? "auto")));
    this.#written.add(name);
  }

  /** A config.json with what the compression changed. */
  #changed(config: object): Record<string, unknown> {
    const { model, schemes, precision = "auto" } = this.options;
    const dtype = precision === "auto" ? {} : { dtype: TORCH_DTYPES[precision], torch_dtype: undefined };
    const tie = this.plan.unties ? { tie_word_embeddings: false } : {};
    const quantization = schemes.size > 0 ? { quantization_config: describeQuantization(model, schemes) } : {};
    return { ...config, ...dtype, ...tie, ...quantization };
  }
}

const TORCH_DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** Keys in alphabetical order, at every level, as the reference writes them. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sortKeys(entry)]));
}
