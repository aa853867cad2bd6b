import type { Graph } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import { isOperator } from "../../ops/operator.ts";

/** A linear that reads columns of a value: inverse factors on its weight's columns undo factors on them. */
export interface LinearRead {
  readonly node: Node;
  /** The parameter that is the weight. */
  readonly weight: Node;
  /** For each column of what the linear reads, the column of the value that its factors come from. */
  readonly columns: Int32Array;
}

/** What becomes of factors on the columns of one value. */
export interface ColumnFlow {
  readonly reads: readonly LinearRead[];
  /** Columns whose factors would change the result, each with a node that is to blame. */
  readonly spoilt: ReadonlyMap<number, Node>;
}

/** Follows factors on the columns of `source` through a graph of operators, until linears can undo them. */
export function followColumns(graph: Graph, source: Node): ColumnFlow {
  return new Follower(graph, source).follow();
}

/** Values that one token has of a tensor: [batch, seq, heads, size] has heads · size. */
function columnCount({ shape }: Node): number {
  const tokenAxes = shape.findLastIndex((dim) => typeof dim === "string") + 1;
  return shape.slice(tokenAxes).reduce<number>((count, dim) => count * Number(dim), 1);
}

class Follower {
  /** For each value that has factors: the source's column behind each of its own, −1 for none. */
  readonly #carried = new Map<Node, Int32Array>();
  readonly #reads: LinearRead[] = [];
  readonly #spoilt = new Map<number, Node>();
  readonly #pending: Set<Node>;

  constructor(
    private readonly graph: Graph,
    private readonly source: Node,
  ) {
    const width = source.shape.at(-1) as number;
    this.#carried.set(
      source,
      Int32Array.from({ length: columnCount(source) }, (_, column) => column % width),
    );
    this.#pending = new Set(source.users);
  }

  follow(): ColumnFlow {
    // In the graph's order: a node is visited once all that it reads is known.
    for (const node of this.graph.nodes.slice(this.graph.nodes.indexOf(this.source) + 1)) {
      if (this.#pending.size === 0) break;
      if (this.#pending.delete(node)) this.#visit(node);
    }
    return { reads: this.#reads, spoilt: this.#spoilt };
  }

  #visit(node: Node): void {
    const kept: Int32Array[] = [];
    for (const [operand, input] of node.inputs.entries()) {
      const columns = this.#carried.get(input);
      const result = columns && this.#pass(node, operand, columns);
      if (result) kept.push(result);
    }
    if (kept.length === 0) return;
    // Where several operands have factors they multiply.
    for (const columns of kept.slice(1)) for (const carried of [kept[0], columns]) this.#spoil(node, carried);
    this.#carried.set(node, kept[0]);
    for (const user of node.users) this.#pending.add(user);
  }

  /** The columns of the node's result that factors on an operand show in. */
  #pass(node: Node, operand: number, columns: Int32Array): Int32Array | undefined {
    const factors = isOperator(node.target)
      ? node.target.columns?.factors?.(
          operand,
          node.attrs,
          node.inputs.map((input) => input.tensorType),
        )
      : undefined;
    if (factors?.effect === "none") return undefined;
    if (factors?.effect === "kept") {
      const sources = Array.from({ length: columnCount(node) }, (_, column) => columns[factors.source(column)]);
      if (!sources.includes(undefined as never)) return Int32Array.from(sources);
    }
    if (factors?.effect === "undone" && isOwnParameter(node.inputs[factors.by])) {
      this.#reads.push({ node, weight: node.inputs[factors.by], columns });
      return undefined;
    }
    this.#spoil(node, columns);
    return undefined;
  }

  #spoil(node: Node, columns: Int32Array): void {
    for (const column of columns) if (!this.#spoilt.has(column)) this.#spoilt.set(column, node);
  }
}

/** Whether a node is a parameter that nothing else reads: a tied weight is not one. */
export function isOwnParameter(node: Node): boolean {
  return node.op === "get_attr" && node.users.size === 1;
}
