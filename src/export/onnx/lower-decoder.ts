import { ExecutionError } from "../../errors.ts";
import { type Graph, getitem } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import { type TensorType, tensorTypes } from "../../fx/types.ts";
import { ONNX_TYPE } from "../../ops/constants.ts";
import { embedding, linearBias } from "../../ops/linear.ts";
import { type OnnxExpression, type OnnxValue, onnx } from "../../ops/onnx.ts";
import { lowerOperator } from "../../runtime/lower.ts";
import { type ExternalPlace, OnnxWriter } from "../../runtime/onnx-writer.ts";
import { version } from "../../version.ts";
import type { ComputeDType } from "./dense-weight.ts";
import { inHalf } from "./half-expression.ts";
import type { Precision } from "./precision.ts";
import type { InitializerSpec, StoredWeight } from "./stored-weight.ts";
import { isLinear } from "./trace-decoder.ts";

/** The newest set of ONNX's operators that the runtimes of transformers.js read. */
const OPSET = 23;

/** How the parameters of a decoder are stored, and where. */
interface DecoderWeights {
  /** By the node that reads the parameter. */
  readonly stored: ReadonlyMap<Node, StoredWeight>;
  place(spec: InitializerSpec): ExternalPlace;
}

/**
 * The ONNX file of a decoder that {@link traceDecoder} gives. Inputs and outputs have the names of the graph's; floats among them
 * are of the type that is computed in, but the logits, which are F32.
 */
export function lowerDecoder(graph: Graph, weights: DecoderWeights, precision: Precision): Uint8Array {
  const lowering = new DecoderLowering(weights, precision);
  for (const node of graph.nodes) lowering.add(node);
  for (const [name, node] of graph.outputs) lowering.output(name, node);
  return lowering.finish();
}

/** One tensor of a node. */
interface Lowered {
  readonly name: string;
  /** What it is computed in; undefined for integers and truth values. */
  readonly dtype?: ComputeDType;
}

class DecoderLowering {
  readonly #writer = new OnnxWriter({
    name: "decoder",
    opset: OPSET,
    producer: { name: "layerwise", version },
  });
  readonly #values = new Map<Node, readonly Lowered[]>();
  readonly #casts = new Map<string, OnnxExpression>();

  constructor(
    private readonly weights: DecoderWeights,
    private readonly precision: Precision,
  ) {}

  add(node: Node): void {
    if (node.op === "placeholder") this.#declare(node);
    if (node.op === "get_attr") this.#store(node);
    if (node.op === "call_function") this.#values.set(node, this.#lower(node));
  }

  output(name: string, node: Node): void {
    const isLogits = name === "logits";
    const [{ dtype }] = this.#tensors(node);
    const wanted = isLogits ? "F32" : dtype;
    const value = this.#emit(onnx("Identity", [this.#read(node, wanted)]), name);
    this.#writer.output(name, typeIn(node.tensorType, wanted), value);
  }

  finish(): Uint8Array {
    return this.#writer.finish();
  }

  /** A cache has the type of the attention that reads it. */
  #declare(node: Node): void {
    const isHalf = [...node.users].some((user) => this.precision.half.has(user));
    const dtype = node.dtype === "F32" ? (isHalf ? "F16" : "F32") : undefined;
    this.#writer.input(node.targetName, typeIn(node.tensorType, dtype));
    this.#values.set(node, [{ name: node.targetName, dtype }]);
  }

  #store(node: Node): void {
    const weight = this.#weightOf(node);
    for (const spec of weight.initializers) {
      const { name, dtype, shape, view } = spec;
      const place = this.weights.place(spec);
      this.#writer.external(name, dtype, shape, place);
      const isLookedUp = [...node.users].some((user) => user.target === embedding.operator);
      if (view && isLookedUp) this.#writer.external(view.name, dtype, view.shape, place);
    }
    const dtype = weight.initializers[0].dtype;
    if (dtype === "F32" || dtype === "F16") this.#values.set(node, [{ name: weight.initializers[0].name, dtype }]);
  }

  #lower(node: Node): Lowered[] {
    if (node.target === getitem) return [this.#tensors(node.inputs[0])[node.attrs.index as number]];
    const dtype = this.precision.half.has(node) ? "F16" : "F32";
    const label = node.modulePath ? `${node.modulePath}.${node.targetName}` : node.targetName;
    const expressions = this.#expressions(node, dtype);
    const lowered = dtype === "F16" ? inHalf(expressions) : expressions;
    return tensorTypes(node.type).map((type, index) => ({
      name: this.#emit(lowered[index], label),
      ...(type.dtype === "F32" && { dtype }),
    }));
  }

  /** Products with weights and lookups are as the weight is stored; all else is as the operator has it. */
  #expressions(node: Node, dtype: ComputeDType): readonly OnnxExpression[] {
    const [first, table] = node.inputs;
    if (isLinear(node)) {
      const product = this.#weightOf(table).multiply(this.#read(first, dtype));
      const isBiased = node.target === linearBias.operator;
      return [isBiased ? onnx("Add", [product, this.#read(node.inputs[2], dtype)]) : product];
    }
    if (node.target === embedding.operator) return [this.#weightOf(table).lookUp(this.#read(first, undefined))];
    return lowerOperator(
      node,
      node.inputs.map((input) => this.#read(input, dtype)),
    );
  }

  /** A node's tensor in the wanted type; integers are as they are. */
  #read(node: Node, wanted: ComputeDType | undefined): OnnxValue {
    const [{ name, dtype }] = this.#tensors(node);
    if (dtype === undefined || wanted === undefined || dtype === wanted) return { value: name };
    const key = `${name} ${wanted}`;
    const cast = this.#casts.get(key) ?? onnx("Cast", [{ value: name }], { to: ONNX_TYPE[wanted] });
    this.#casts.set(key, cast);
    return { value: this.#emit(cast, `${node.name}.cast`) };
  }

  #emit(expression: OnnxExpression, label: string): string {
    return this.#writer.emit(expression, label);
  }

  #tensors(node: Node): readonly Lowered[] {
    const known = this.#values.get(node);
    if (known) return known;
    throw new ExecutionError(`%${node.name}: read before it is made, or as a whole though it is stored in parts.`);
  }

  #weightOf(node: Node): StoredWeight {
    const weight = this.weights.stored.get(node);
    if (weight) return weight;
    throw new ExecutionError(`%${node.name}: a product with what is no parameter, expected a weight.`);
  }
}

function typeIn({ dtype, shape }: TensorType, computed: ComputeDType | undefined): TensorType {
  return { dtype: computed ?? dtype, shape };
}
