import { rm } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import type { ModuleReport } from "../modifiers/modifier.ts";
import type { Statistic } from "../modifiers/tap.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Output } from "../output/output.ts";
import { digestFile, readTensorFile, writeTensorFile } from "../output/tensor-file.ts";
import { parseWith } from "../schemes/parse.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressedModules } from "./compressed-modules.ts";
import { type PartRecord, packStatistics, partSchema, unpackStatistics } from "./part-record.ts";

/** The parts of a model that are compressed, written and noted down, by this run or one that it goes on with. */
export class FinishedParts {
  readonly #parts: PartRecord[] = [];

  /**
   * @param paths - of the parameters, by which the journal knows them
   * @param readWritten - the values that a reader of the output decodes, undefined if there are none
   */
  constructor(
    private readonly output: Output,
    private readonly paths: ReadonlyMap<Parameter, string>,
    private readonly readWritten: (parameter: Parameter) => Promise<Tensor<"F32"> | undefined>,
  ) {}

  /**
   * Takes what an earlier run has noted down for finished, as far as it lies on disk as it was then.
   *
   * @param onWarning - told if some of it does not: that part and all after it are done again
   */
  async takeOver(onWarning?: (message: string) => void): Promise<void> {
    const { folder } = this.output;
    const records = folder.records.map((record) => parseWith(partSchema, record, folder.partial, CheckpointError));
    const isMoved = await folder.isMoved(); // whole, then, and checked by its reader
    for (const record of records) {
      if (!isMoved && !(await this.#isIntact(record))) break;
      this.#parts.push(record);
    }
    while (!isMoved && !(await this.#hasStatistics())) this.#parts.pop();
    if (this.#parts.length === records.length) return;
    await folder.keepRecords(this.#parts.length);
    const { index } = records[this.#parts.length];
    onWarning?.(
      `${folder.partial}: what is there of subgraph ${index + 1} is damaged. It is done again, and all after it.`,
    );
  }

  /** Parts with a lower index are finished. */
  get count(): number {
    return (this.#parts.at(-1)?.index ?? -1) + 1;
  }

  /** What a modifier has reported; `modifier` is its place in the recipe. */
  reports(modifier: number): ModuleReport[] {
    return this.#parts.flatMap(({ reports }) => reports[modifier] ?? []);
  }

  /** What the modifiers have warned of. */
  get warnings(): string[] {
    return this.#parts.flatMap(({ warnings }) => warnings);
  }

  /** What later parts run with: what a reader of the output decodes, or undefined for the checkpoint's own. */
  async parameter(parameter: Parameter): Promise<Tensor<"F32"> | undefined> {
    const path = this.#path(parameter);
    for (const { index, unsaved } of this.#parts) {
      const other = unsaved.find((entry) => entry.path === path);
      if (other) return other.stored ? this.#readUnsaved(index, path) : undefined;
    }
    return this.readWritten(parameter);
  }

  /** What was seen of modules that parts still to come call again: see {@link CompressedModules.pending}. */
  async pending(): Promise<Map<string, Statistic>> {
    const last = this.#parts.at(-1);
    if (last?.statistics === undefined) return new Map();
    return unpackStatistics(await readTensorFile(this.#file("statistics", last.index)));
  }

  /**
   * Notes that a part is finished, once all of it is written. One of which there is nothing to note is left out. What a
   * power failure takes of either is found by the digests: to wait for the disk each time would cost more than to do it again.
   *
   * @param tensors - digests of what was written of it, by name
   */
  async add(modules: CompressedModules, tensors: [name: string, digest: string][]): Promise<void> {
    const { index, reports, warnings, pending } = modules;
    if (tensors.length + pending.size + warnings.length + reports.flat().length === 0) return;
    const unsaved = Array.from(modules.unsaved, ([parameter, value]) => [this.#path(parameter), value] as const);
    const stored = unsaved.flatMap(([path, weight]) => (weight ? [[path, weight] as const] : []));
    const record: PartRecord = {
      index,
      tensors,
      unsaved: unsaved.map(([path, weight]) => ({ path, stored: weight !== undefined })),
      weights: await this.#write("weights", index, new Map(stored)),
      statistics: await this.#write("statistics", index, packStatistics(pending)),
      reports: reports.map((own) => [...own]),
      warnings: [...warnings],
    };
    await this.output.folder.append(record);
    const previous = this.#parts.at(-1);
    if (previous?.statistics) await rm(this.#file("statistics", previous.index), { force: true });
    this.#parts.push(record);
  }

  async #readUnsaved(index: number, path: string): Promise<Tensor<"F32">> {
    const tensors = await readTensorFile(this.#file("weights", index), (name) => name === path);
    return tensors.get(path) as Tensor<"F32">;
  }

  async #isIntact({ index, tensors, weights }: PartRecord): Promise<boolean> {
    if (weights !== undefined && (await digestFile(this.#file("weights", index))) !== weights) return false;
    return this.output.trust(tensors);
  }

  /** Whether the statistics beside the last part, if any, are as they were; those of parts before it are deleted. */
  async #hasStatistics(): Promise<boolean> {
    const last = this.#parts.at(-1);
    if (last?.statistics === undefined) return true;
    return (await digestFile(this.#file("statistics", last.index))) === last.statistics;
  }

  async #write(kind: string, index: number, tensors: ReadonlyMap<string, Tensor>): Promise<string | undefined> {
    return tensors.size > 0 ? writeTensorFile(this.#file(kind, index), tensors) : undefined;
  }

  #file(kind: string, index: number): string {
    return join(this.output.folder.partial, `${kind}-${index}.safetensors`);
  }

  #path(parameter: Parameter): string {
    return this.paths.get(parameter) ?? "";
  }
}
