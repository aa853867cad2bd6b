import { CheckpointError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { ParameterValues } from "../runtime/executable.ts";
import { Buffers } from "../tensor/buffers.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The weights that are in memory: read from disk when first asked for, kept until they are released. */
export class Weights implements ParameterValues {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #loaded = new Map<Parameter, Promise<Tensor<"F32">>>();
  /** Gives memory for weights; what is taken goes back when all are released. */
  readonly buffers = new Buffers();

  /** Values that others stand for now; somebody may still read them. */
  readonly #replaced: Tensor<"F32">[] = [];

  constructor(model: Module) {
    this.#parameters = new Map(model.namedParameters());
  }

  /** The values of the parameter at a dotted path. */
  get(path: string): Promise<Tensor<"F32">> {
    const parameter = this.#parameters.get(path);
    if (!parameter) throw new CheckpointError(`${path}: no such parameter, expected one of the model's.`);
    return this.load(parameter);
  }

  /** The values of a parameter, as they were last replaced or as they are on disk. */
  load(parameter: Parameter): Promise<Tensor<"F32">> {
    const loaded = this.#loaded.get(parameter) ?? parameter.load(this.buffers);
    this.#loaded.set(parameter, loaded);
    return loaded;
  }

  /** Lets `value` stand for a parameter until it is released. */
  replace(parameter: Parameter, value: Tensor<"F32">): void {
    this.#loaded.get(parameter)?.then((replaced) => this.#replaced.push(replaced));
    this.#loaded.set(parameter, Promise.resolve(value));
  }

  /** Forgets all values: a later read goes to disk again, and into the same memory. */
  async releaseAll(): Promise<void> {
    const loaded = await Promise.allSettled(this.#loaded.values());
    const values = loaded.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    for (const value of [...values, ...this.#replaced]) this.buffers.give(value);
    this.#loaded.clear();
    this.#replaced.length = 0;
    this.buffers.age();
  }
}
