import { CheckpointError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { ParameterValues } from "../runtime/executable.ts";
import { Buffers } from "../tensor/buffers.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A value that is being read, or there. */
interface Loaded {
  readonly promise: Promise<Tensor<"F32">>;
  value?: Tensor<"F32">;
}

/** The weights that are in memory: read from disk when first asked for, kept until they are released. */
export class Weights implements ParameterValues {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #loaded = new Map<Parameter, Loaded>();
  /** Gives memory for weights; what is taken goes back when all are released. */
  readonly buffers = new Buffers();

  /** Values that others stand for now; somebody may still read them. */
  readonly #replaced: Tensor<"F32">[] = [];
  readonly #replacements = new Map<Parameter, Tensor<"F32">>();

  constructor(model: Module) {
    this.#parameters = new Map(model.namedParameters());
  }

  /** The values of the parameter at a dotted path. */
  get(path: string): Promise<Tensor<"F32">> {
    return this.load(this.#parameterAt(path));
  }

  /** Rows of the matrix at a dotted path, by ids: [ids' shape…, columns]. Unless it is in memory, no other row is read. */
  async rows(path: string, ids: Tensor<"I64">): Promise<Tensor<"F32">> {
    const parameter = this.#parameterAt(path);
    const distinct = [...new Set(ids.data)];
    const some = this.#loaded.has(parameter) ? undefined : await parameter.loadRows(distinct.map(Number));
    if (!some) return pickRows(await this.load(parameter), ids, Number);
    const places = new Map(distinct.map((id, place) => [id, place]));
    return pickRows(some, ids, (id) => places.get(id) as number);
  }

  /** The values of a parameter, as they were last replaced or as they are on disk. */
  load(parameter: Parameter): Promise<Tensor<"F32">> {
    const known = this.#loaded.get(parameter);
    if (known) return known.promise;
    const loaded: Loaded = {
      promise: parameter.load(this.buffers).then((value) => {
        loaded.value = value;
        return value;
      }),
    };
    this.#loaded.set(parameter, loaded);
    return loaded.promise;
  }

  /** Lets `value` stand for a parameter until it is released. */
  replace(parameter: Parameter, value: Tensor<"F32">): void {
    this.#loaded.get(parameter)?.promise.then((replaced) => this.#replaced.push(replaced));
    this.#loaded.set(parameter, { promise: Promise.resolve(value), value });
    this.#replacements.set(parameter, value);
  }

  /** The values that stand for parameters now, in place of those on disk. */
  get replacements(): ReadonlyMap<Parameter, Tensor<"F32">> {
    return this.#replacements;
  }

  /** Makes room for another value of a parameter: nobody may read any more what {@link load} gave. */
  discard(parameter: Parameter): void {
    const value = this.#loaded.get(parameter)?.value;
    if (!value) return;
    this.#loaded.delete(parameter);
    this.buffers.give(value);
  }

  /** Forgets all values: a later read goes to disk again, and into the same memory. */
  async releaseAll(): Promise<void> {
    const loaded = await Promise.allSettled([...this.#loaded.values()].map(({ promise }) => promise));
    const values = loaded.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    for (const value of [...values, ...this.#replaced]) this.buffers.give(value);
    this.#loaded.clear();
    this.#replaced.length = 0;
    this.#replacements.clear();
    this.buffers.age();
  }

  #parameterAt(path: string): Parameter {
    const parameter = this.#parameters.get(path);
    if (parameter) return parameter;
    throw new CheckpointError(`${path}: no such parameter, expected one of the model's.`);
  }
}

/** The rows of a matrix at the places that ids stand for. */
export function pickRows(table: Tensor<"F32">, ids: Tensor<"I64">, placeOf: (id: bigint) => number): Tensor<"F32"> {
  const [rows, columns] = table.shape;
  const picked = Tensor.zeros("F32", [...ids.shape, columns]);
  for (const [index, id] of ids.data.entries()) {
    const place = placeOf(id);
    if (!(place >= 0 && place < rows))
      throw new CheckpointError(`token ${id}: not in a table of ${rows} rows, expected one of them. Check the tokens.`);
    picked.data.set(table.data.subarray(place * columns, (place + 1) * columns), index * columns);
  }
  return picked;
}
