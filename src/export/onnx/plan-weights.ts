import type { Graph } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import { observeWeight, weightQParams } from "../../modifiers/weight-scales.ts";
import { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { embedding } from "../../ops/linear.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { type QuantizedWeight, quantizeWeight } from "../../schemes/quantize.ts";
import { completeScheme } from "../../schemes/scheme.ts";
import { byteSize } from "../../tensor/dtype.ts";
import { elementCount } from "../../tensor/tensor.ts";
import type { ExportSource } from "../export-source.ts";
import { blockLayout } from "./block-codes.ts";
import { blockWeight } from "./block-weight.ts";
import { type ComputeDType, denseWeight } from "./dense-weight.ts";
import type { OnnxDType } from "./dtypes.ts";
import { dynamicWeight, isDynamic } from "./dynamic-weight.ts";
import type { Precision } from "./precision.ts";
import type { StoredWeight } from "./stored-weight.ts";
import { isLinear } from "./trace-decoder.ts";

/** Bytes of the largest buffer that WebGPU promises: a table that is larger cannot be bound. */
const LARGEST_TABLE = 256 * 2 ** 20;

/** What decides how parameters are stored. */
interface WeightPlanOptions {
  readonly dtype: OnnxDType;
  readonly precision: Precision;
  /** Bits that the table of embeddings is rounded to, and with it a dense last projection; chosen by size where left out. */
  readonly embeddingBits?: 4 | 8;
}

/** How each parameter that a decoder reads is stored, by its node. */
export function planWeights(graph: Graph, source: ExportSource, options: WeightPlanOptions): Map<Node, StoredWeight> {
  const planner = new WeightPlanner(source, options);
  const parameters = graph.nodes.filter(({ op }) => op === "get_attr");
  return new Map(parameters.map((node) => [node, planner.plan(node)]));
}

class WeightPlanner {
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #modules: ReadonlyMap<string, Module>;

  constructor(
    private readonly source: ExportSource,
    private readonly options: WeightPlanOptions,
  ) {
    this.#parameters = new Map(source.model.namedParameters());
    this.#modules = new Map(source.model.namedModules());
  }

  plan(node: Node): StoredWeight {
    const users = [...node.users];
    const dtype: ComputeDType = users.every((user) => this.options.precision.half.has(user)) ? "F16" : "F32";
    const parameter = this.#parameters.get(node.targetName) as Parameter;
    const readers = users.filter((user) => isLinear(user) && user.inputs[1] === node);
    const linears = readers.filter(({ modulePath }) => this.#modules.get(modulePath) instanceof Linear);
    const isTable = users.some(({ target }) => target === embedding.operator) || this.#isHead(linears);
    return (
      this.#carried(node, linears, dtype) ??
      (isTable ? this.#table(node, parameter, dtype) : this.#rounded(node, linears, parameter, dtype)) ??
      denseWeight(node.targetName, parameter, dtype, readers.length === users.length)
    );
  }

  #isHead(linears: readonly Node[]): boolean {
    return linears.some(({ modulePath }) => this.#modules.get(modulePath) === this.source.model.lm_head);
  }

  /** Codes that the checkpoint holds, as they are. */
  #carried(node: Node, linears: readonly Node[], dtype: ComputeDType): StoredWeight | undefined {
    const [path] = linears.map(({ modulePath }) => modulePath).filter((path) => this.source.compressed.has(path));
    const compressed = path === undefined ? undefined : this.source.compressed.get(path);
    if (!compressed || this.options.dtype.bits === null || compressed.args.type !== "int") return undefined;
    const quantized = async () => (await this.source.quantizedWeight(path)) as QuantizedWeight;
    const { shape } = compressed.linear.weight;
    if (dtype === "F32" && isDynamic(compressed.scheme)) return dynamicWeight(node.targetName, shape, quantized);
    return blockWeight(node.targetName, blockLayout(compressed.args, shape, path), dtype, quantized);
  }

  /** A weight that no calibration has seen, rounded to nearest; only where the checkpoint is dense as a whole. */
  #rounded(node: Node, linears: readonly Node[], parameter: Parameter, dtype: ComputeDType): StoredWeight | undefined {
    const { bits } = this.options.dtype;
    if (bits === null || linears.length === 0 || this.source.compressed.size > 0) return undefined;
    const args = bits === 8 ? CHANNEL_ARGS : blockArgs(bits, parameter.shape);
    const quantized = () => roundToNearest(node.targetName, parameter, args);
    if (bits === 8) return dynamicWeight(node.targetName, parameter.shape, quantized);
    return blockWeight(node.targetName, blockLayout(args, parameter.shape, node.targetName), dtype, quantized);
  }

  /** A table of embeddings, or what multiplies like one: if it is too large, in 8 bits where that fits, else in 4. */
  #table(node: Node, parameter: Parameter, dtype: ComputeDType): StoredWeight | undefined {
    const elements = elementCount(parameter.shape);
    const isTooLarge = elements * byteSize(dtype) > LARGEST_TABLE;
    const bits = this.options.embeddingBits ?? (isTooLarge ? (elements > LARGEST_TABLE ? 4 : 8) : null);
    if (this.options.dtype.bits === null || bits === null) return undefined;
    const args = blockArgs(bits, parameter.shape);
    const layout = blockLayout(args, parameter.shape, node.targetName);
    return blockWeight(node.targetName, layout, dtype, () => roundToNearest(node.targetName, parameter, args));
  }
}

const CHANNEL_ARGS = completeArgs({ numBits: 8, strategy: "channel" });

/** Symmetric integers in the largest blocks up to 32 columns that the columns divide by. */
function blockArgs(numBits: number, [, columns]: readonly number[]): QuantizationArgs {
  const groupSize = columns % 32 === 0 ? 32 : 16;
  return completeArgs({ numBits, strategy: "group", groupSize });
}

function completeArgs(weights: Partial<QuantizationArgs>): QuantizationArgs {
  return completeScheme({ targets: [], weights: { type: "int", symmetric: true, ...weights } })
    .weights as QuantizationArgs;
}

/** Rounds a weight to the nearest codes, in float32, with scales from its own minima and maxima. */
async function roundToNearest(path: string, parameter: Parameter, args: QuantizationArgs): Promise<QuantizedWeight> {
  const weight = await parameter.load();
  const qparams = weightQParams(weight, observeWeight(weight, args, path), args, path);
  return quantizeWeight(weight, qparams, args, path);
}
