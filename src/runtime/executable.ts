import { ExecutionError } from "../errors.ts";
import { isOpaque } from "../fx/function.ts";
import { type Graph, getitem } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { isTuple } from "../fx/types.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkInputs, checkResult, type Sizes, type Value } from "./check-values.ts";
import { type LoweredModel, lowerNodes } from "./lower.ts";
import { findRowLookups, parametersReadWhole } from "./row-lookups.ts";
import type { Runtime } from "./runtime.ts";
import { splitAtOpaque } from "./segments.ts";
import type { Session } from "./session.ts";

export type { Value } from "./check-values.ts";

/** Gives the values of parameters, by dotted path, in F32. */
export interface ParameterValues {
  get(path: string): Promise<Tensor>;
  /** Rows of a table by their ids: [ids' shape…, columns]. */
  rows(path: string, ids: Tensor<"I64">): Promise<Tensor>;
}

/** Gives memory for the output called `name`: a tensor of this dtype and shape whose values do not matter, or nothing. */
export type Allocate = (name: string, dtype: DType, shape: readonly number[]) => Tensor | undefined;

/** Nodes that were lowered and compiled together. */
interface CompiledPart {
  readonly lowered: LoweredModel;
  readonly session: Session;
}

/** A segment once it is compiled; one that begins with an opaque call has nothing to compile. */
interface Part {
  readonly compiled?: CompiledPart;
  readonly opaque: readonly Node[];
}

/** A node of an executable that failed, so that an error can point at the line it comes from. */
export class NodeError extends ExecutionError {
  constructor(
    readonly node: Node | undefined,
    cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** A graph of operators and opaque calls, compiled for one device. Keeps no values between runs. */
export class Executable {
  private constructor(
    readonly graph: Graph,
    private readonly parts: readonly Part[],
    /** Nodes whose values are read row by row, before anything is run. */
    private readonly lookups: readonly Node[],
  ) {}

  /** Paths of the parameters that a run reads. */
  get parameterPaths(): string[] {
    return this.graph.nodes.filter((node) => node.op === "get_attr").map((node) => node.targetName);
  }

  /** Lowers `graph`, which holds only operators, opaque calls, parameters and placeholders, and compiles it. */
  static async compile(graph: Graph, runtime: Runtime): Promise<Executable> {
    const returned = new Set(graph.outputNode?.inputs);
    const lookups = findRowLookups(graph);
    const parts = splitAtOpaque(graph, new Set(lookups)).map(async ({ compiled, opaque }): Promise<Part> => {
      if (compiled.length === 0) return { opaque };
      const own = new Set(compiled);
      const wanted = compiled.filter((node) => returned.has(node) || [...node.users].some((user) => !own.has(user)));
      const lowered = lowerNodes(compiled, wanted);
      return { compiled: { lowered, session: await runtime.compile(lowered.model) }, opaque };
    });
    return new Executable(graph, await Promise.all(parts), lookups);
  }

  /**
   * Runs the graph once.
   *
   * @param inputs - a value for each placeholder, by name
   * @param allocate - gives the tensor that an output is written into; a new one where it gives none
   * @returns the graph's outputs by name
   * @throws NodeError, or ExecutionError for inputs that are missing, unknown or of another type
   */
  async run(
    inputs: Readonly<Record<string, Value>>,
    parameters: ParameterValues,
    allocate: Allocate = () => undefined,
  ): Promise<Record<string, Value>> {
    const values = new Map<Node, readonly Tensor[]>();
    const sizes = checkInputs(this.graph.placeholders, inputs);
    const targets = allocateOutputs(this.graph, this.lookups, sizes, allocate);
    for (const node of this.graph.placeholders) values.set(node, [inputs[node.name]].flat() as Tensor[]);
    for (const node of this.lookups) {
      const [ids, table] = node.inputs;
      values.set(node, [await parameters.rows(table.targetName, tensorsOf(ids, values)[0] as Tensor<"I64">)]);
    }
    await Promise.all(
      parametersReadWhole(this.graph).map(async (node) => values.set(node, [await parameters.get(node.targetName)])),
    );
    for (const { compiled, opaque } of this.parts) {
      if (compiled) await runCompiled(compiled, values, targets);
      for (const node of opaque) values.set(node, [await runOpaque(node, values)]);
    }
    const outputs = [...this.graph.outputs].map(([name, node]) => [name, toValue(node, values)] as const);
    return Object.fromEntries(outputs);
  }
}

/** A tensor for each output that is compiled and one tensor, and whose sizes follow from those of the inputs. */
function allocateOutputs(graph: Graph, lookups: readonly Node[], sizes: Sizes, allocate: Allocate): Map<Node, Tensor> {
  const targets = new Map<Node, Tensor>();
  for (const [name, node] of graph.outputs) {
    if (isTuple(node.type) || typeof node.target === "string" || isOpaque(node.target) || lookups.includes(node))
      continue;
    const shape = node.type.shape.map((dim) => (typeof dim === "number" ? dim : sizes.get(dim)));
    const target = shape.every((size) => size !== undefined) && allocate(name, node.type.dtype, shape);
    if (target) targets.set(node, target);
  }
  return targets;
}

async function runCompiled(
  { lowered, session }: CompiledPart,
  values: Map<Node, readonly Tensor[]>,
  allocated: ReadonlyMap<Node, Tensor>,
): Promise<void> {
  const feeds = new Map(
    lowered.inputs.map(({ node, index }, position) => [`i${position}`, tensorsOf(node, values)[index]]),
  );
  const targets = new Map<string, Tensor>();
  for (const [position, { node }] of lowered.outputs.entries()) {
    const target = allocated.get(node);
    if (target) targets.set(`o${position}`, target);
  }
  const results = await session.run(feeds, targets).catch((cause) => {
    throw new NodeError(lowered.nodes[failedPosition(cause)], cause);
  });
  for (const [position, { node, index }] of lowered.outputs.entries()) {
    const tensor = results.get(`o${position}`) as Tensor;
    values.set(node, index === 0 ? [tensor] : [...tensorsOf(node, values), tensor]);
  }
}

async function runOpaque(node: Node, values: ReadonlyMap<Node, readonly Tensor[]>): Promise<Tensor> {
  if (!isOpaque(node.target)) throw new NodeError(node, new Error(`${node.targetName} is not opaque`));
  try {
    const result = await node.target.run(...node.inputs.flatMap((input) => tensorsOf(input, values)));
    checkResult(node, result);
    return result;
  } catch (cause) {
    throw new NodeError(node, cause);
  }
}

/** The values of a node; an element of a tuple that was made elsewhere is picked here. */
function tensorsOf(node: Node, values: ReadonlyMap<Node, readonly Tensor[]>): readonly Tensor[] {
  const known = values.get(node);
  if (known) return known;
  if (node.target === getitem) return [tensorsOf(node.inputs[0], values)[node.attrs.index as number]];
  throw new ExecutionError(`%${node.name}: no value, expected one made by an earlier part.`);
}

function toValue(node: Node, values: ReadonlyMap<Node, readonly Tensor[]>): Value {
  const tensors = tensorsOf(node, values);
  return isTuple(node.type) ? tensors : tensors[0];
}

/** ONNX Runtime names the failing node, which carries its position: `n12:t40`. */
function failedPosition(cause: unknown): number {
  return Number(/Name:'n(\d+):/.exec(String(cause))?.[1] ?? -1);
}
