import { SparseMoeBlock } from "../../nn/experts.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The blocks of experts of a model, by path. */
export function expertBlocks(model: Module): [string, SparseMoeBlock][] {
  return model.namedModules().filter((entry): entry is [string, SparseMoeBlock] => entry[1] instanceof SparseMoeBlock);
}

/**
 * Lets the parameters of a model with fewer experts read what a larger one has: expert i of a block what the i-th of those that
 * stay has, the router their rows, everything else what is called the same.
 *
 * @param retainedIn - the experts that stay in the block of a path; asked when a parameter is read
 */
export function bindRetained(small: Module, large: Module, retainedIn: (block: string) => readonly number[]): void {
  const parameters = new Map(large.namedParameters());
  const blocks = expertBlocks(small).map(([path]) => path);
  for (const [path, parameter] of small.namedParameters()) {
    const block = blocks.find((one) => path.startsWith(`${one}.`));
    const same = parameters.get(path);
    if (!same?.source) continue;
    const read = block === undefined ? undefined : retainedReader(path, block, parameters, () => retainedIn(block));
    const own = { shape: parameter.shape, readFloat32: undefined, readRows: undefined, isDerived: true };
    parameter.source = read ? { ...same.source, ...own, read } : same.source;
  }
}

/** Reads an expert's parameter, or the router's; undefined for others, which are as they were. */
function retainedReader(
  path: string,
  block: string,
  parameters: ReadonlyMap<string, Parameter>,
  retained: () => readonly number[],
): (() => Promise<Tensor>) | undefined {
  const [, expert, field] = /^\.experts\.(\d+)(\..+)$/.exec(path.slice(block.length)) ?? [];
  const load = (name: string) => (parameters.get(name) as Parameter).load();
  if (expert !== undefined) return async () => load(`${block}.experts.${retained()[Number(expert)]}${field}`);
  return path === `${block}.gate.weight` ? async () => pickRows(await load(path), retained()) : undefined;
}

function pickRows({ data, shape: [, columns] }: Tensor<"F32">, rows: readonly number[]): Tensor<"F32"> {
  const picked = rows.flatMap((row) => [...data.subarray(row * columns, (row + 1) * columns)]);
  return new Tensor("F32", [rows.length, columns], Float32Array.from(picked));
}
