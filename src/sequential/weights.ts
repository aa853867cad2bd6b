import { CheckpointError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { ParameterValues } from "../runtime/executable.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The weights that are in memory: read from disk when first asked for, kept until they are released. */
export class Weights implements ParameterValues {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #loaded = new Map<Parameter, Promise<Tensor<"F32">>>();
  readonly #replaced = new Map<Parameter, Tensor<"F32">>();

  constructor(model: Module) {
    this.#parameters = new Map(model.namedParameters());
  }

  /** The values of a parameter in F32, by dotted path. */
  get(path: string): Promise<Tensor<"F32">> {
    const parameter = this.#parameter(path);
    const replaced = this.#replaced.get(parameter);
    if (replaced) return Promise.resolve(replaced);
    const loaded = this.#loaded.get(parameter) ?? parameter.load();
    this.#loaded.set(parameter, loaded);
    return loaded;
  }

  /** Lets `value` stand for a parameter until it is released. */
  replace(path: string, value: Tensor<"F32">): void {
    this.#replaced.set(this.#parameter(path), value);
  }

  /** Forgets the values of parameters; a later read goes to disk again. */
  release(paths: Iterable<string>): void {
    for (const path of paths) {
      this.#loaded.delete(this.#parameter(path));
      this.#replaced.delete(this.#parameter(path));
    }
  }

  #parameter(path: string): Parameter {
    const parameter = this.#parameters.get(path);
    if (!parameter) throw new CheckpointError(`${path}: no such parameter, expected one of the model's.`);
    return parameter;
  }
}
