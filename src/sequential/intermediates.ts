import { freemem } from "node:os";
import { DataError, ExecutionError } from "../errors.ts";
import type { Value } from "../runtime/executable.ts";
import { Buffers } from "../tensor/buffers.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Extent, SpillFile } from "./spill-file.ts";

/** The model's inputs for one run: I64[rows, tokens] each, the same names in every batch. */
export type Batch = Readonly<Record<string, Tensor>>;

/** How much is kept in memory, and where the rest goes. */
export interface IntermediatesOptions {
  /** Bytes of intermediates that stay in memory; the rest is written to a temporary file. In a whole run half of what is free by default. */
  readonly memoryBudget?: number;
}

/** Half of the memory that is free. */
export function defaultMemoryBudget(): number {
  return freemem() / 2;
}

/** @throws DataError naming a batch that has other keys than the first */
export function checkBatches(batches: readonly Readonly<Record<string, unknown>>[]): void {
  const [expected, ...found] = batches.map((batch) => Object.keys(batch).sort().join(", "));
  const differs = found.findIndex((keys) => keys !== expected);
  if (differs < 0) return;
  throw new DataError(
    `batch ${differs + 1}: ${found[differs] || "no keys"}, expected ${expected} as in batch 0. Give every batch the same keys.`,
  );
}

/** A tensor that lies in a file, and in memory while it is being read or used. */
interface Spilled {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly extent: Extent;
  loaded?: Promise<Tensor>;
}

/** Tensors of a value, each in memory or spilled; `tuple` tells one alone from a tuple of one. */
interface Stored {
  readonly tensors: readonly (Tensor | Spilled)[];
  readonly tuple: boolean;
}

/**
 * What flows from subgraph to subgraph: for each batch, the values that a later subgraph still reads, by name.
 * Past the budget they are written to a file, and read back one batch ahead. Memory that is free is used again.
 */
export class IntermediatesCache {
  readonly #batches: Map<string, Stored>[];
  readonly #buffers = new Buffers();
  readonly #file = new SpillFile();
  readonly #budget: number;
  /** The model's inputs, whose memory is the caller's. */
  readonly #inputs: ReadonlySet<Tensor>;
  /** How many values hold a tensor that is in memory and no input. */
  readonly #holders = new Map<Tensor, number>();
  #bytesInMemory = 0;
  /** What was read from the file for the batch that was fetched last. */
  #inUse: Spilled[] = [];

  /**
   * @param batches - the model's inputs, which the first subgraphs read
   * @throws DataError naming a batch that has other keys than the first
   */
  constructor(
    batches: readonly Readonly<Record<string, Value>>[],
    { memoryBudget = Number.POSITIVE_INFINITY }: IntermediatesOptions = {},
  ) {
    checkBatches(batches);
    this.#budget = memoryBudget;
    this.#inputs = new Set(batches.flatMap((batch) => Object.values(batch).flat()) as Tensor[]);
    this.#batches = batches.map(
      (batch) =>
        new Map(Object.entries(batch).map(([name, value]) => [name, toStored(value, [value].flat() as Tensor[])])),
    );
  }

  /** How many batches it holds values of. */
  get batchCount(): number {
    return this.#batches.length;
  }

  /** Bytes of values in memory, without the model's inputs. */
  get bytesInMemory(): number {
    return this.#bytesInMemory;
  }

  /**
   * The values called `names` of one batch, good until another batch is fetched; the next batch's begin to be read.
   *
   * @throws ExecutionError for a name that is not stored
   */
  async fetch(batch: number, names: Iterable<string>): Promise<Record<string, Value>> {
    const wanted = [...names];
    const stored = wanted.map((name) => this.#get(batch, name));
    const spilled = stored.flatMap(({ tensors }) => tensors.filter(isSpilled));
    await this.#releaseExcept(spilled);
    this.#inUse = spilled;
    const values = await Promise.all(stored.map((value) => this.#load(value)));
    if (batch + 1 < this.#batches.length) this.#prefetch(batch + 1, wanted);
    return Object.fromEntries(wanted.map((name, index) => [name, values[index]]));
  }

  /** Memory for a result that {@link update} is going to store. */
  allocate(dtype: DType, shape: readonly number[]): Tensor {
    return this.#buffers.take(dtype, shape);
  }

  /** Stores values of one batch, in place of earlier ones of the same name. They must not be changed afterwards. */
  async update(batch: number, values: Readonly<Record<string, Value>>): Promise<void> {
    for (const [name, value] of Object.entries(values)) {
      const tensors: (Tensor | Spilled)[] = [];
      for (const tensor of [value].flat() as Tensor[]) tensors.push(await this.#keep(tensor));
      if (this.#batches[batch].has(name)) this.delete(batch, [name]);
      this.#batches[batch].set(name, toStored(value, tensors));
    }
  }

  /** Forgets values of one batch. @throws ExecutionError for a name that is not stored */
  delete(batch: number, names: Iterable<string>): void {
    for (const name of names) {
      const { tensors } = this.#get(batch, name);
      this.#batches[batch].delete(name);
      for (const tensor of tensors) this.#drop(tensor);
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const batch of this.#batches.keys()) this.delete(batch, this.names(batch));
    this.#buffers.clear();
  }

  /** Ends a subgraph: memory that was of no use for some subgraphs is let go. */
  age(): void {
    this.#buffers.age();
  }

  /** Forgets everything, and removes the temporary file. */
  async close(): Promise<void> {
    await this.#releaseExcept([]);
    this.clear();
    await this.#file.close();
  }

  /** Names stored for one batch. */
  names(batch: number): string[] {
    return [...this.#batches[batch].keys()];
  }

  /** In memory where the budget has room, or where another value holds it anyway; else in the file. */
  async #keep(tensor: Tensor): Promise<Tensor | Spilled> {
    if (this.#inputs.has(tensor)) return tensor;
    const holders = this.#holders.get(tensor) ?? 0;
    if (holders === 0 && this.#bytesInMemory + tensor.byteLength > this.#budget) {
      const { dtype, shape } = tensor;
      const extent = await this.#file.write(tensor.bytes);
      this.#buffers.give(tensor);
      return { dtype, shape, extent };
    }
    if (holders === 0) this.#bytesInMemory += tensor.byteLength;
    this.#holders.set(tensor, holders + 1);
    return tensor;
  }

  #drop(tensor: Tensor | Spilled): void {
    if (isSpilled(tensor)) {
      this.#file.free(tensor.extent);
      return;
    }
    if (this.#inputs.has(tensor)) return;
    const holders = this.#holders.get(tensor) as number;
    if (holders > 1) {
      this.#holders.set(tensor, holders - 1);
      return;
    }
    this.#holders.delete(tensor);
    this.#bytesInMemory -= tensor.byteLength;
    this.#buffers.give(tensor);
  }

  async #load({ tensors, tuple }: Stored): Promise<Value> {
    const loaded = await Promise.all(tensors.map((tensor) => (isSpilled(tensor) ? this.#read(tensor) : tensor)));
    return tuple ? loaded : loaded[0];
  }

  #read(spilled: Spilled): Promise<Tensor> {
    spilled.loaded ??= (async () => {
      const tensor = this.#buffers.take(spilled.dtype, spilled.shape);
      await this.#file.read(spilled.extent, tensor.bytes);
      return tensor;
    })();
    return spilled.loaded;
  }

  /** A failure to read is thrown by the fetch that wants the value. */
  #prefetch(batch: number, names: readonly string[]): void {
    for (const name of names) {
      for (const tensor of this.#batches[batch].get(name)?.tensors ?? []) {
        if (isSpilled(tensor)) this.#read(tensor).catch(() => undefined);
      }
    }
  }

  /** Takes back the memory of what was read for the batch before, but for what is wanted again. */
  async #releaseExcept(wanted: readonly Spilled[]): Promise<void> {
    for (const spilled of this.#inUse.filter((other) => !wanted.includes(other))) {
      const tensor = await spilled.loaded?.catch(() => undefined);
      spilled.loaded = undefined;
      if (tensor) this.#buffers.give(tensor);
    }
  }

  #get(batch: number, name: string): Stored {
    const value = this.#batches[batch].get(name);
    if (value === undefined) {
      throw new ExecutionError(`batch ${batch}: no value ${name}, expected one of: ${this.names(batch).join(", ")}.`);
    }
    return value;
  }
}

function toStored(value: Value, tensors: readonly (Tensor | Spilled)[]): Stored {
  return { tensors, tuple: Array.isArray(value) };
}

function isSpilled(tensor: Tensor | Spilled): tensor is Spilled {
  return "extent" in tensor;
}
