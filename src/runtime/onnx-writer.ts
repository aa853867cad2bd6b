import onnxProto from "onnx-proto";
import type { Dim, TensorType } from "../fx/types.ts";
import { ONNX_TYPE } from "../ops/constants.ts";
import type { OnnxAttribute, OnnxExpression, OnnxInput } from "../ops/onnx.ts";
import type { DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";

const { AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } = onnxProto.onnx;

/** The newest operator set and file version that every supported ONNX Runtime reads. */
const OPSET = 24;
const IR_VERSION = 10;

/** What an ONNX file says of itself. */
interface OnnxHeader {
  /** Name of the graph. */
  readonly name?: string;
  /** Version of ONNX's own operators. */
  readonly opset?: number;
  readonly producer?: { readonly name: string; readonly version: string };
}

/** Where the bytes of an initializer lie: a file beside the model. */
export interface ExternalPlace {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** Collects ONNX nodes and writes them as one model file. Equal sequences of calls give equal bytes. */
export class OnnxWriter {
  readonly #nodes: onnxProto.onnx.INodeProto[] = [];
  readonly #constants: onnxProto.onnx.ITensorProto[] = [];
  readonly #emitted = new Map<OnnxExpression | Tensor, string>();
  readonly #inputs: onnxProto.onnx.IValueInfoProto[] = [];
  readonly #outputs: onnxProto.onnx.IValueInfoProto[] = [];

  constructor(private readonly header: OnnxHeader = {}) {}

  input(name: string, type: TensorType): void {
    this.#inputs.push(valueInfo(name, type));
  }

  /** Returns the value called `value` under another name. */
  output(name: string, type: TensorType, value: string): void {
    this.#nodes.push(NodeProto.create({ name, opType: "Identity", input: [value], output: [name] }));
    this.#outputs.push(valueInfo(name, type));
  }

  /** Declares a constant whose values lie outside of the model. */
  external(name: string, dtype: DType, shape: readonly number[], { file, offset, length }: ExternalPlace): void {
    const place = { location: file, offset: String(offset), length: String(length) };
    const externalData = Object.entries(place).map(([key, value]) => ({ key, value }));
    const dataLocation = TensorProto.DataLocation.EXTERNAL;
    this.#constants.push(
      TensorProto.create({ name, dataType: onnxType(dtype), dims: [...shape], externalData, dataLocation }),
    );
  }

  /**
   * Adds an expression and what it is made of, each shared part once.
   *
   * @param label - prefix of the nodes' names, by which an error message finds its origin
   * @returns the name of its value
   */
  emit(expression: OnnxExpression, label: string): string {
    const known = this.#emitted.get(expression);
    if (known) return known;
    const inputs = expression.inputs.map((input) => this.#inputName(input, label));
    const output = `t${this.#emitted.size}`;
    this.#emitted.set(expression, output);
    const { opType, domain = "", attributes = {}, results = 1 } = expression;
    const outputs = Array.from({ length: results }, (_, result) => resultName(output, result));
    const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
    this.#nodes.push(
      NodeProto.create({ name: `${label}:${output}`, opType, domain, input: inputs, output: outputs, attribute }),
    );
    return output;
  }

  /** The model as the bytes of an .onnx file. */
  finish(): Uint8Array {
    const { name = "subgraph", opset = OPSET, producer } = this.header;
    const model = ModelProto.create({
      irVersion: IR_VERSION,
      ...(producer && { producerName: producer.name, producerVersion: producer.version }),
      opsetImport: [
        { domain: "", version: opset },
        { domain: "com.microsoft", version: 1 },
      ],
      graph: {
        name,
        node: this.#nodes,
        initializer: this.#constants,
        input: this.#inputs,
        output: this.#outputs,
      },
    });
    return ModelProto.encode(model).finish();
  }

  #inputName(input: OnnxInput, label: string): string {
    if (input === null) return "";
    if (input instanceof Tensor) return this.#constant(input);
    if ("of" in input) return resultName(this.emit(input.of, label), input.result);
    return "value" in input ? input.value : this.emit(input, label);
  }

  #constant(tensor: Tensor): string {
    const known = this.#emitted.get(tensor);
    if (known) return known;
    const name = `t${this.#emitted.size}`;
    this.#emitted.set(tensor, name);
    const dims = [...tensor.shape];
    this.#constants.push(TensorProto.create({ name, dataType: onnxType(tensor.dtype), dims, rawData: tensor.bytes }));
    return name;
  }
}

/** An expression's name is that of its first result. */
function resultName(expression: string, result: number): string {
  return result === 0 ? expression : `${expression}:${result}`;
}

function onnxType(dtype: DType): number {
  return (ONNX_TYPE as Partial<Record<DType, number>>)[dtype] as number;
}

function valueInfo(name: string, { dtype, shape }: TensorType): onnxProto.onnx.IValueInfoProto {
  const dim = shape.map((size: Dim) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return ValueInfoProto.create({ name, type: { tensorType: { elemType: onnxType(dtype), shape: { dim } } } });
}

function attributeProto(name: string, value: OnnxAttribute): onnxProto.onnx.IAttributeProto {
  const { AttributeType } = AttributeProto;
  if (typeof value === "number") return { name, type: AttributeType.INT, i: value };
  if (typeof value === "string") return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: [...value] };
}
