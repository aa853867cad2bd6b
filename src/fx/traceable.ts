import type { Attributes, FunctionTarget, Node } from "./node.ts";
import type { TensorType } from "./types.ts";

/** What tracing needs of a parameter or buffer: dtype and shape as the graph computes with them. */
export interface TraceableParameter {
  readonly type: TensorType;
}

/** What an operator accepts: a traced value, or a parameter of the module at work. */
export type Operand = Node | TraceableParameter;

/** What a root's forward takes in place of a traced value: a value left out, a switch, an empty list. */
export type Constant = number | string | boolean | null | readonly Constant[] | { readonly [key: string]: Constant };

/** What a forward takes: traced values, and at the root also constants. */
export type Argument = Node | Constant;

/** What a forward returns: one value (which may be a tuple), or at the root values by name. */
export type Output = Node | Readonly<Record<string, Node>>;

/** One argument of a root's forward. An argument without a default is required. */
export interface ForwardParameter {
  readonly name: string;
  /** Its value where none is given; an argument without one is required. */
  readonly default?: Constant;
  /** Takes what no other argument does: "positional" as a list, "keyword" by name. */
  readonly variadic?: "positional" | "keyword";
}

/** What tracing needs of a module. */
export interface Traceable {
  /** Arguments of forward in order. Only a root needs them, since a trace gives its inputs by name. */
  readonly forwardParameters?: readonly ForwardParameter[];
  /** Calls forward with the module's hooks around it. */
  runForward(args: readonly Argument[]): Output;
  /** The module itself ("") and all below it by dotted path, each module once. */
  namedModules(): Iterable<readonly [string, Traceable]>;
  /** Every parameter and buffer by dotted path, each once. */
  namedParameters(): Iterable<readonly [string, TraceableParameter]>;
}

/** Who turns the calls of a forward into nodes of a graph. */
export interface Recorder {
  callFunction(target: FunctionTarget, operands: readonly Operand[], attrs: Attributes): Node;
  /** Arguments that are null are left out of the call. */
  callModule(module: Traceable, args: readonly (Node | null)[]): Output;
}
