import { TraceError } from "../errors.ts";
import { Namespace } from "./names.ts";
import { type Attributes, type FunctionTarget, Node, type NodeFields, type NodeOwner } from "./node.ts";
import { formatNode } from "./print.ts";
import type { Output, Recorder } from "./traceable.ts";
import { isTuple, type ValueType } from "./types.ts";

/** Picks one tensor of a tuple. The only function that fx itself records. */
export const getitem: FunctionTarget = {
  name: "getitem",
  infer([tuple], { index }) {
    if (!tuple || !isTuple(tuple)) throw new TraceError("getitem: expected a tuple");
    return tuple.elements[index as number];
  },
};

/** A list of nodes in an order in which they can run, ending in its output node. */
export class Graph implements NodeOwner {
  /** @param recorder - who records further calls on the graph's values, while it is being traced */
  constructor(readonly recorder?: Recorder) {}

  readonly #nodes: Node[] = [];
  readonly #names = new Namespace();
  readonly #items = new Map<string, Node>();

  /** All nodes, each after the ones that it reads. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** The arguments, in order. */
  get placeholders(): readonly Node[] {
    return this.#nodes.filter((node) => node.op === "placeholder");
  }

  /** The output node, if the graph has one yet. */
  get outputNode(): Node | undefined {
    return this.#nodes.find((node) => node.op === "output");
  }

  /** What the graph returns, by name; a value without a name is called "0". */
  get outputs(): ReadonlyMap<string, Node> {
    const node = this.outputNode;
    if (!node) return new Map();
    const names = node.attrs.names as readonly string[];
    return new Map(node.inputs.map((input, index) => [names[index], input]));
  }

  /** An argument of the graph. */
  placeholder(name: string, type: ValueType): Node {
    return this.#add({ op: "placeholder", name, target: name, inputs: [], attrs: {}, type, modulePath: "" });
  }

  /** A parameter or buffer, by its dotted path. */
  getAttr(path: string, type: ValueType, modulePath = ""): Node {
    return this.#add({ op: "get_attr", name: path, target: path, inputs: [], attrs: {}, type, modulePath });
  }

  /** A call of an operator or another function, whose result has type `type`. */
  callFunction(
    target: FunctionTarget,
    inputs: readonly Node[],
    attrs: Attributes,
    type: ValueType,
    modulePath = "",
  ): Node {
    return this.#add({ op: "call_function", name: target.name, target, inputs, attrs, type, modulePath });
  }

  /** A call of the module at `path`; positions at which `args` are null are kept as the attribute `absent`. */
  callModule(path: string, args: readonly (Node | null)[], type: ValueType, modulePath = ""): Node {
    const absent = args.flatMap((arg, index) => (arg === null ? [index] : []));
    const attrs: Attributes = absent.length > 0 ? { absent } : {};
    const inputs = args.filter((arg) => arg !== null);
    return this.#add({ op: "call_module", name: path, target: path, inputs, attrs, type, modulePath });
  }

  /** What the graph returns, one value or several by name; nothing comes after it. */
  output(values: Output): Node {
    const named = values instanceof Node ? { 0: values } : values;
    return this.#add({
      op: "output",
      name: "output",
      target: "output",
      inputs: Object.values(named),
      attrs: { names: Object.keys(named) },
      type: { elements: [] },
      modulePath: "",
    });
  }

  /** The element of a tuple; the same node when asked again. */
  getItem(tuple: Node, index: number): Node {
    const key = `${tuple.name}[${index}]`;
    const known = this.#items.get(key);
    if (known) return known;
    const item = this.callFunction(
      getitem,
      [tuple],
      { index },
      getitem.infer([tuple.type], { index }),
      tuple.modulePath,
    );
    this.#items.set(key, item);
    return item;
  }

  /** A copy of `node`, which may be another graph's, that reads `inputs`; it keeps the name where that is free. */
  copyNode(node: Node, inputs: readonly Node[]): Node {
    const { op, name, target, attrs, type, modulePath } = node;
    return this.#add({ op, name, target, inputs, attrs, type, modulePath });
  }

  /** Removes calls and attributes that nobody reads, last first; placeholders stay. Returns whether any was removed. */
  eliminateDeadCode(): boolean {
    const before = this.#nodes.length;
    for (const node of this.#nodes.toReversed()) {
      if (node.users.size === 0 && node.op !== "placeholder" && node.op !== "output") this.#remove(node);
    }
    return this.#nodes.length < before;
  }

  /** Throws unless every node reads only earlier nodes of this graph, names are unique and the output comes last. */
  lint(): void {
    const seen = new Set<Node>();
    const names = new Set<string>();
    for (const node of this.#nodes) {
      const foreign = node.inputs.find((input) => !seen.has(input));
      if (foreign)
        throw new TraceError(`%${node.name}: reads %${foreign.name}, expected only earlier nodes of its graph`);
      if (names.has(node.name)) throw new TraceError(`%${node.name}: the name is taken, expected each name once`);
      if (this.outputNode && seen.has(this.outputNode)) throw new TraceError(`%${node.name}: stands after the output`);
      seen.add(node);
      names.add(node.name);
    }
  }

  /** One line a node: `%mul: F32[1,4,16] = call_function[mul](%silu, %up)`. */
  toString(): string {
    return this.#nodes.map(formatNode).join("\n");
  }

  #add(fields: NodeFields): Node {
    const repeat = fields.op === "call_module";
    const node = new Node(this, { ...fields, name: this.#names.create(fields.name, { repeat }) });
    this.#nodes.push(node);
    for (const input of node.inputs) input.users.add(node);
    return node;
  }

  #remove(node: Node): void {
    this.#nodes.splice(this.#nodes.lastIndexOf(node), 1);
    for (const input of node.inputs) input.users.delete(node);
  }
}

/** Whether users and inputs agree: `a` is among b.users if and only if `b` is among a's inputs. */
export function graphIsWellFormed(graph: Graph): boolean {
  const nodes = new Set(graph.nodes);
  return graph.nodes.every(
    (node) =>
      node.allInputNodes.every((input) => nodes.has(input) && input.users.has(node)) &&
      [...node.users].every((user) => nodes.has(user) && user.inputs.includes(node)),
  );
}
