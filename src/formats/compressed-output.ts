import { readFile } from "node:fs/promises";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parseFloats, stringifyFloats } from "../checkpoint/float-spelling.ts";
import type { ConfigChange } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import { TransformMatrix, transformGroups } from "../nn/online-transform.ts";
import type { Parameter } from "../nn/parameter.ts";
import { type Conversion, type Output, openOutput } from "../output/output.ts";
import type { OutputFolderOptions } from "../output/output-folder.ts";
import { type Profiler, timeStep } from "../profile/profiler.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import { fromFloat32, isFloatDType, toFloat32 } from "../tensor/convert.ts";
import { type FloatDType, viewBytes } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { CompressedModules } from "./compressed-modules.ts";
import { describeQuantization } from "./describe-quantization.ts";
import { FinishedParts } from "./finished-parts.ts";
import { narrow } from "./narrow.ts";
import { type OutputPlan, type Precision, plannedDType, planOutput, savedDType } from "./output-plan.ts";

/** What is written where, and how. */
interface CompressedOutputOptions extends OutputFolderOptions {
  readonly model: Module;
  readonly checkpoint: Checkpoint;
  /** The model as the checkpoint has it, where the other is a smaller one. */
  readonly original?: Module;
  /** What becomes of config.json where the model is smaller. */
  readonly changeConfig?: ConfigChange;
  readonly quantization: ModelQuantization;
  readonly precision?: Precision;
  readonly maxShardSize?: number;
  readonly profiler?: Profiler;
  /** Told where what an earlier run has left is damaged. */
  readonly onWarning?: (message: string) => void;
}

/** Files of a checkpoint beside weights and configuration that go along with it. */
export const COMPANIONS =
  /^(generation_config|tokenizer.*|special_tokens_map|added_tokens|vocab|preprocessor_config|chat_template)\.json$|\.jinja$|^merges\.txt$|^vocab\.txt$|\.model$/;

/** Names of the files of a checkpoint that go along with the weights: those of the tokenizer, and settings of generation. */
export async function companionsOf(checkpoint: Checkpoint): Promise<string[]> {
  return (await checkpoint.listFiles()).filter((file) => COMPANIONS.test(file));
}

/** A compressed checkpoint while it is written, module by module; it appears whole at the end, or not at all. */
export class CompressedOutput {
  /** The parts that are written, by this run or one that it goes on with. */
  readonly finished: FinishedParts;

  private constructor(
    private readonly options: CompressedOutputOptions,
    private readonly plan: OutputPlan,
    private readonly output: Output,
  ) {
    const paths = options.model.namedParameters().map(([path, parameter]) => [parameter, path] as const);
    this.finished = new FinishedParts(output, new Map(paths), (parameter) => this.#read(parameter));
  }

  /** @throws CheckpointError as {@link openOutput} does */
  static async open(options: CompressedOutputOptions): Promise<CompressedOutput> {
    const { model, checkpoint, quantization, precision, original } = options;
    const plan = planOutput(model, checkpoint, quantization, precision, original);
    const output = await openOutput({ ...options, tensors: plan.tensors });
    try {
      const compressed = new CompressedOutput(options, plan, output);
      await compressed.finished.takeOver(options.onWarning);
      return compressed;
    } catch (error) {
      throw await output.abandon(error);
    }
  }

  /** Writes the tensors of compressed modules, and notes in the journal that they are finished. */
  async write(modules: CompressedModules): Promise<void> {
    const digests = await Promise.all(
      Array.from(this.#tensorsOf(modules), async ([name, tensor]): Promise<[name: string, digest: string]> => {
        return [name, await this.output.write(name, tensor)];
      }),
    );
    await timeStep(this.options.profiler, "journal", () => this.finished.add(modules, digests));
  }

  /**
   * Carries over all that was not changed, writes the configuration, and moves the folder into place.
   *
   * @param verify - looks at the folder before it is moved; where it throws, it is not
   */
  async finish(recipe: string, verify?: (folder: string) => Promise<void>): Promise<void> {
    if (!(await this.output.isMoved())) {
      await this.#writeUnchanged();
      const config = parseFloats(await readFile(this.options.checkpoint.pathOf("config.json"), "utf8"));
      await this.output.writeText(
        "config.json",
        `${stringifyFloats(sortKeys(this.#changed(config as Record<string, unknown>)))}\n`,
      );
      await this.output.writeText("recipe.yaml", recipe);
    }
    await this.output.finish(verify);
  }

  /** Ends early, after a failure. @returns what to throw: see {@link OutputFolder.abandon} */
  abandon(failure: unknown): Promise<unknown> {
    return this.output.abandon(failure);
  }

  *#tensorsOf({
    quantized,
    parameters,
    tensors,
  }: CompressedModules): Generator<readonly [name: string, tensor: Tensor]> {
    for (const [module, weight] of quantized) {
      const place = this.plan.quantized.get(module);
      if (place) yield* place.format.compress(place.path, weight);
    }
    for (const [module, fields] of tensors) {
      for (const [field, { name, dtype }] of this.plan.activations.get(module) ?? []) {
        const tensor = fields.get(field);
        if (tensor) yield [name, isFloatDType(dtype) ? fromFloat32(tensor as Tensor<"F32">, dtype) : tensor];
      }
    }
    for (const [name, parameter] of this.plan.dense) {
      const changed = parameters.get(parameter);
      if (changed) yield [name, this.#toSaved(name, parameter, changed)];
    }
  }

  async #writeUnchanged(): Promise<void> {
    const { checkpoint, precision = "auto" } = this.options;
    for (const [name, parameter] of this.plan.dense) {
      if (this.output.has(name)) continue;
      const source = checkpoint.tensors.get(name);
      const stored = parameter.source?.isDerived || source?.encoding ? undefined : source?.dtype;
      if (stored === plannedDType(parameter, precision)) await this.output.copyTensor(name, checkpoint);
      else if (stored && isFloatDType(stored))
        await this.output.copyTensor(name, checkpoint, this.#conversion(name, parameter, stored));
      else if (parameter instanceof TransformMatrix) await this.output.write(name, toFloat64(await parameter.load()));
      else await this.output.write(name, this.#toSaved(name, parameter, await parameter.load()));
    }
    for (const name of this.plan.surplus) await this.output.copyTensor(name, checkpoint);
    for (const file of await companionsOf(checkpoint)) await this.output.copyFile(checkpoint.pathOf(file));
  }

  /** A parameter as a reader of the output decodes it, if it is written. */
  async #read(parameter: Parameter): Promise<Tensor<"F32"> | undefined> {
    const [module, place] = [...this.plan.quantized].find(([{ weight }]) => weight === parameter) ?? [];
    const args = module && this.options.quantization.schemes.get(module)?.weights;
    if (args && place) {
      const specs = place.format.tensors(place.path, parameter.shape, "F32", args);
      if (!specs.every(({ name }) => this.output.has(name))) return undefined;
      const tensors = specs.map(async ({ name }) => [name, await this.output.read(name)] as const);
      return place.format.decompress(place.path, new Map(await Promise.all(tensors)), args);
    }
    const dense = [...this.plan.dense].find(([name, other]) => other === parameter && this.output.has(name));
    return dense && toFloat32((await this.output.read(dense[0])) as Tensor<FloatDType>);
  }

  /** From a dtype to the one that a parameter is saved in. */
  #conversion(name: string, parameter: Parameter, stored: FloatDType): Conversion {
    return {
      dtype: savedDType(parameter, this.options.precision ?? "auto"),
      convert: (bytes) => {
        const data = viewBytes(stored, bytes);
        return this.#toSaved(name, parameter, toFloat32(new Tensor(stored, [data.length], data))).bytes;
      },
    };
  }

  #toSaved(name: string, parameter: Parameter, weight: Tensor<"F32">): Tensor<FloatDType> {
    return narrow(name, weight, savedDType(parameter, this.options.precision ?? "auto"));
  }

  /** A config.json with what the compression changed. */
  #changed(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const { model, quantization, precision = "auto", changeConfig = (same) => same } = this.options;
    const dtype = precision === "auto" ? {} : { dtype: TORCH_DTYPES[precision], torch_dtype: undefined };
    const tie = this.plan.unties ? { tie_word_embeddings: false } : {};
    const quantizes = quantization.schemes.size > 0 || quantization.kvCacheScheme !== null;
    const quantization_config =
      quantizes || transformGroups(model).length > 0 ? describeQuantization(model, quantization) : undefined;
    return { ...changeConfig(config), ...dtype, ...tie, quantization_config };
  }
}

const TORCH_DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** Signs as transforms are stored. */
function toFloat64({ data, shape }: Tensor<"F32">): Tensor<"F64"> {
  return new Tensor("F64", shape, Float64Array.from(data));
}

/** Keys in alphabetical order, at every level, as the reference writes them. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sortKeys(entry)]));
}
