import { TraceError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";
import { type Dim, formatType, isTuple, type TensorType, type ValueType } from "./types.ts";

/** What kind of step a node is; spelled as torch.fx spells it. */
export type NodeOp = "placeholder" | "get_attr" | "call_function" | "call_module" | "output";

/** Constants of a call: plain data, so that equal calls can be told from their text. */
export type Attributes = Readonly<Record<string, AttributeValue>>;
/** One constant: what JSON can hold, nested lists included. */
export type AttributeValue = number | string | boolean | null | readonly AttributeValue[];

/** What a call_function node calls: an operator, a composite function or an opaque one. */
export interface FunctionTarget {
  readonly name: string;
  /** Type of the result; throws a ShapeError that starts with the function's name where the inputs do not fit. */
  infer(inputs: readonly ValueType[], attrs: Attributes): ValueType;
}

/** All there is to say about a node when it is made. */
export interface NodeFields {
  readonly op: NodeOp;
  /** Unique in its graph. */
  readonly name: string;
  /** The callable of a call_function; the dotted path of a call_module or get_attr; an argument's name; "output". */
  readonly target: string | FunctionTarget;
  /** What it reads, in the order of its arguments; one that is read twice is there twice. */
  readonly inputs: readonly Node[];
  /** The constants of the call. */
  readonly attrs: Attributes;
  /** Dtype and shape of what it gives, or of each element of a tuple. */
  readonly type: ValueType;
  /** Dotted path of the module whose forward made the node; "" for the root. */
  readonly modulePath: string;
}

/** What a node needs of the graph it is in. */
export interface NodeOwner {
  getItem(tuple: Node, index: number): Node;
}

/** One value in a {@link Graph}: what makes it, from which nodes, and who reads it. */
export class Node implements NodeFields {
  /** Nodes that read this value, each once, in graph order. */
  readonly users = new Set<Node>();
  readonly op: NodeOp;
  readonly name: string;
  readonly target: string | FunctionTarget;
  readonly inputs: readonly Node[];
  readonly attrs: Attributes;
  readonly type: ValueType;
  readonly modulePath: string;

  constructor(
    readonly graph: NodeOwner,
    fields: NodeFields,
  ) {
    this.op = fields.op;
    this.name = fields.name;
    this.target = fields.target;
    this.inputs = fields.inputs;
    this.attrs = fields.attrs;
    this.type = fields.type;
    this.modulePath = fields.modulePath;
  }

  /** Distinct inputs in order of first appearance. */
  get allInputNodes(): readonly Node[] {
    return [...new Set(this.inputs)];
  }

  /** Dtype and shape of a value that is one tensor. */
  get tensorType(): TensorType {
    if (isTuple(this.type)) throw this.#misuse("used as one tensor, but it is a tuple; unpack it first");
    return this.type;
  }

  /** Of a value that is one tensor; a size that varies from run to run is a name. */
  get shape(): readonly Dim[] {
    return this.tensorType.shape;
  }

  /** Of a value that is one tensor. */
  get dtype(): DType {
    return this.tensorType.dtype;
  }

  /** The name of what is called: an operator's name, a module's path, an argument. */
  get targetName(): string {
    return typeof this.target === "string" ? this.target : this.target.name;
  }

  /** The elements of a tuple, each recorded as a `getitem` node: `const [cos, sin] = table`. */
  *[Symbol.iterator](): Generator<Node, void> {
    if (!isTuple(this.type)) throw this.#misuse("iterated");
    for (let index = 0; index < this.type.elements.length; index++) yield this.graph.getItem(this, index);
  }

  /** Refuses to become a number, string or key: a traced value has no concrete value yet. */
  [Symbol.toPrimitive](hint: "number" | "string" | "default"): never {
    throw this.#misuse(USES[hint]);
  }

  #misuse(how: string): TraceError {
    const where = this.modulePath || "model";
    return new TraceError(
      `${where}: the traced value %${this.name} (${formatType(this.type)}, made by ${this.targetName}) was ${how}, ` +
        "expected only operators and modules to read it. Use an operator; or pass the code to wrap(), which runs it on " +
        "concrete tensors; or name the function that holds it in ignore.",
    );
  }
}

/** What JavaScript was about to do with a node, by the hint it asks with. */
const USES = {
  number: "used as a number or compared",
  string: "used as a string or a key",
  default: "used in + or ==",
} as const;
