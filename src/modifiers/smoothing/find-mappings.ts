import { RecipeError } from "../../errors.ts";
import type { Graph } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import type { ColumnParameter } from "../../ops/column-factors.ts";
import { isOperator } from "../../ops/operator.ts";
import { traceOperators } from "../trace-operators.ts";
import { type ColumnFlow, followColumns, isOwnParameter, type LinearRead } from "./column-flow.ts";
import type { BalancedWeight, Candidate, Mapping, Obstacle } from "./mapping.ts";

/**
 * Finds, in a trace of the model down to its operators, every norm and linear whose output linears alone read, directly or
 * through operators that keep factors on columns. No table of families: what a trace shows is all there is to know.
 *
 * @returns the modules with parameters of such columns, in the order in which the model calls them
 */
export function findMappings(model: Module): Candidate[] {
  const graph = traceOperators(model);
  const finder = new MappingFinder(model, graph);
  return graph.nodes.flatMap((node) => finder.candidate(node) ?? []);
}

class MappingFinder {
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  /** Nodes whose value a linear depends on. */
  readonly #inner = new Set<Node>();

  constructor(
    model: Module,
    private readonly graph: Graph,
  ) {
    this.#modules = new Map(model.namedModules());
    this.#parameters = new Map(model.namedParameters());
    for (const node of graph.nodes.toReversed()) {
      if ([...node.users].some((user) => this.#inner.has(user) || isLinear(user))) this.#inner.add(node);
    }
  }

  /** What a node that scales columns by parameters of its own could be smoothed with; undefined for other nodes. */
  candidate(node: Node): Candidate | undefined {
    const parameters = isOperator(node.target) ? node.target.columns?.parameters : undefined;
    const module = this.#modules.get(node.modulePath);
    if (!parameters || !module) return undefined;
    const found = parameters.every(({ operand }) => isOwnParameter(node.inputs[operand]))
      ? settle(followColumns(this.graph, node))
      : { reason: "its weight is read elsewhere too", isShared: false };
    const own = { path: node.modulePath, module };
    if ("reason" in found) return { ...own, obstacle: found };
    return { ...own, mapping: this.#mapping(node, module, parameters, found) };
  }

  #mapping(node: Node, module: Module, parameters: readonly ColumnParameter[], reads: readonly LinearRead[]): Mapping {
    return {
      path: node.modulePath,
      module,
      parameters: parameters.map(({ operand, offset }) => ({
        parameter: this.#parameter(node.inputs[operand]),
        offset,
      })),
      rows: reads[0].columns,
      balanced: reads.map((read): BalancedWeight => {
        const path = read.node.modulePath;
        return { path, module: this.#modules.get(path) as Module, weight: this.#parameter(read.weight) };
      }),
      isInner: reads.every((read) => this.#inner.has(read.node)),
    };
  }

  #parameter({ targetName }: Node): Parameter {
    const parameter = this.#parameters.get(targetName);
    if (!parameter) throw new RecipeError(`${targetName}: no such parameter, expected one of the model's.`);
    return parameter;
  }
}

function isLinear({ target }: Node): boolean {
  return isOperator(target) && target.columns?.factors?.(0, {}, [])?.effect === "undone";
}

/** The linears that undo factors on some columns, the same for each, which nothing else reads; or what prevents it. */
function settle({ reads, spoilt }: ColumnFlow): readonly LinearRead[] | Obstacle {
  const lost = new Map(spoilt);
  let left = reads;
  for (;;) {
    const mixed = left.find(({ columns }) => columns.some((column) => lost.has(column)));
    if (!mixed) break;
    left = left.filter((read) => read !== mixed);
    for (const column of mixed.columns) if (!lost.has(column)) lost.set(column, mixed.node);
  }
  if (left.length === 0) return { reason: describeReader([...spoilt.values()][0]), isShared: false };
  const [{ columns }] = left;
  if (left.some((read) => String(read.columns) !== String(columns)))
    return { reason: "linears read different columns of it", isShared: false };
  if (new Set(columns).size < columns.length)
    return { reason: "several columns of what is read come from one of its own", isShared: true };
  return left;
}

function describeReader(node: Node | undefined): string {
  if (!node) return "no linear reads it";
  return node.op === "output"
    ? "the model returns it"
    : `${node.targetName}${node.modulePath && ` in ${node.modulePath}`} reads it`;
}
