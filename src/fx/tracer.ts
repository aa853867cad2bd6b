import { isDeepStrictEqual } from "node:util";
import { TraceError } from "../errors.ts";
import { isComposite, isOpaque } from "./function.ts";
import { Graph } from "./graph.ts";
import { type Attributes, type FunctionTarget, Node } from "./node.ts";
import type { Argument, Constant, Operand, Output, Recorder, Traceable, TraceableParameter } from "./traceable.ts";
import type { ValueType } from "./types.ts";

/**
 * Records what a module's forward does as a {@link Graph}, as torch.fx's Tracer does.
 *
 * By default everything is traced through, down to operators; a subclass says which modules and functions stay one node.
 */
export class Tracer implements Recorder {
  #graph = new Graph(this);
  #modules: ReadonlyMap<string, Traceable> = new Map();
  #paths = new Map<Traceable, string>();
  #parameterPaths = new Map<TraceableParameter, string>();
  #attributes = new Map<string, Node>();
  #stack: string[] = [];

  /** Whether a module is recorded as one call instead of being entered. The root is never asked. */
  isLeafModule(_module: Traceable, _path: string): boolean {
    return false;
  }

  /** Whether a composite function is recorded as one call instead of being entered. */
  isLeafFunction(_name: string): boolean {
    return false;
  }

  /**
   * Traces `root`.
   *
   * @param inputs - types of the arguments that vary, by name; each becomes a placeholder
   * @param constants - the other arguments, by name; they are fixed in the graph
   * @throws TraceError if the names do not fit the forward, or the forward does what only concrete values allow
   */
  trace(
    root: Traceable,
    inputs: Readonly<Record<string, ValueType>>,
    constants: Readonly<Record<string, Constant>> = {},
  ): Graph {
    const graph = this.begin(root);
    const placeholders = Object.entries(inputs).map(([name, type]) => [name, graph.placeholder(name, type)] as const);
    graph.output(root.runForward(orderArguments(root, { ...constants, ...Object.fromEntries(placeholders) })));
    return this.finish();
  }

  /** Starts an empty graph whose calls resolve in `root`. For tracers that do not begin at a forward. */
  protected begin(root: Traceable): Graph {
    this.#graph = new Graph(this);
    this.#modules = new Map(root.namedModules());
    this.#paths = new Map([...this.#modules].map(([path, module]) => [module, path]));
    this.#parameterPaths = new Map([...root.namedParameters()].map(([path, parameter]) => [parameter, path]));
    this.#attributes = new Map();
    this.#stack = [];
    return this.#graph;
  }

  /** The module at a dotted path below the root, if there is one. */
  protected moduleAt(path: string): Traceable | undefined {
    return this.#modules.get(path);
  }

  /** Removes what nobody reads, checks the graph and hands it over. */
  protected finish(): Graph {
    this.#graph.eliminateDeadCode();
    this.#graph.lint();
    return this.#graph;
  }

  callModule(module: Traceable, args: readonly (Node | null)[]): Output {
    const path = this.#paths.get(module);
    if (path === undefined) {
      throw new TraceError(
        `${this.#where}: calls a module (${module.constructor.name}) that is no submodule of the root, expected a field of ` +
          "the module that calls it. Assign it to a field in the constructor.",
      );
    }
    if (this.isLeafModule(module, path)) {
      return this.#graph.callModule(path, args, inferModule(module, args), this.#where);
    }
    this.#stack.push(path);
    try {
      return module.runForward(args);
    } finally {
      this.#stack.pop();
    }
  }

  /** Records a call; a composite function is traced through unless the trace ignores it. */
  callFunction(target: FunctionTarget, operands: readonly Operand[], attrs: Attributes): Node {
    const inputs = operands.map((operand) => (operand instanceof Node ? operand : this.#getAttr(operand)));
    if (isComposite(target)) {
      if (!this.isLeafFunction(target.name)) return target.body(...inputs);
      return this.#graph.callFunction(target, inputs, attrs, inferComposite(target.body, inputs), this.#where);
    }
    const type = target.infer(
      inputs.map((input) => input.type),
      attrs,
    );
    return equalCall(target, inputs, attrs) ?? this.#graph.callFunction(target, inputs, attrs, type, this.#where);
  }

  get #where(): string {
    return this.#stack.at(-1) ?? "";
  }

  #getAttr(parameter: TraceableParameter): Node {
    const path = this.#parameterPaths.get(parameter);
    if (path === undefined) {
      throw new TraceError(
        `${this.#where}: reads a parameter that is not in the module tree, expected a field of a module.`,
      );
    }
    const known = this.#attributes.get(path);
    if (known) return known;
    const node = this.#graph.getAttr(path, parameter.type, this.#where);
    this.#attributes.set(path, node);
    return node;
  }
}

/** A call of the same operator on the same values, if there is one: linears that share a rotation of their input have one value. */
function equalCall(target: FunctionTarget, inputs: readonly Node[], attrs: Attributes): Node | undefined {
  if (isOpaque(target)) return undefined; // it may give something else each time
  return [...(inputs[0]?.users ?? [])].find(
    (user) =>
      user.target === target &&
      user.inputs.length === inputs.length &&
      user.inputs.every((input, index) => input === inputs[index]) &&
      isDeepStrictEqual(user.attrs, attrs),
  );
}

/** Type of what a module returns, from tracing it through on its own. */
function inferModule(module: Traceable, args: readonly (Node | null)[]): ValueType {
  return new TypeTracer().infer(module, (inputs) => module.runForward(inputs), args);
}

function inferComposite(body: (...inputs: Node[]) => Node, args: readonly Node[]): ValueType {
  const nothing: Traceable = { runForward: () => ({}), namedModules: () => [], namedParameters: () => [] };
  return new TypeTracer().infer(nothing, (inputs) => body(...(inputs as Node[])), args);
}

/** Traces a call on values of the given types, only to learn the type of its result. */
class TypeTracer extends Tracer {
  infer(root: Traceable, call: (inputs: (Node | null)[]) => Output, args: readonly (Node | null)[]): ValueType {
    const graph = this.begin(root);
    const result = call(args.map((arg) => arg && graph.placeholder(arg.name, arg.type)));
    if (!(result instanceof Node))
      throw new TraceError("a module inside another returns values by name, expected one value");
    return result.type;
  }
}

/** Arguments in the order of the root's forward; without declared parameters, in the order they were given. */
function orderArguments(root: Traceable, given: Readonly<Record<string, Argument>>): Argument[] {
  const parameters = root.forwardParameters;
  if (!parameters) return Object.values(given);
  const names = parameters.map((parameter) => parameter.name);
  const unknown = Object.keys(given).filter((name) => !names.includes(name));
  const missing = names.filter((name) => !(name in given));
  if (unknown.length > 0 || missing.length > 0) {
    const problem = unknown.length > 0 ? `no argument ${unknown.join(", ")}` : `no value for ${missing.join(", ")}`;
    throw new TraceError(`${root.constructor.name}.forward: ${problem}, expected (${names.join(", ")}).`);
  }
  return names.map((name) => given[name]);
}
