import type { Node } from "../fx/node.ts";
import { transformBlocks } from "../ops/transform.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Where a transform stays at run time: before a linear multiplies, or after. */
export type OnlineLocation = "input" | "output";

/** Where a transform is applied; on weights it was once, before they were stored. */
type TransformLocation = OnlineLocation | "weight_input" | "weight_output";

/** To which modules a transform is applied, and where. */
export interface TransformArgs {
  readonly targets: readonly string[];
  readonly location: TransformLocation;
  /** Whether the inverse is applied. */
  readonly inverse: boolean;
  readonly ignore: readonly string[];
}

/** One group of `transform_config`: transforms of one kind. */
export interface TransformGroup {
  readonly name: string;
  readonly type: "hadamard" | "random-hadamard";
  readonly apply: readonly TransformArgs[];
  /** Columns of a block, each of which is transformed by itself; null for all columns. */
  readonly headDim: number | null;
}

/** What an {@link OnlineTransform} is made for. */
interface OnlineTransformConfig {
  readonly group: TransformGroup;
  readonly location: OnlineLocation;
  readonly inverse: boolean;
}

/** The signs of a Hadamard matrix [size, size], stored in F64. */
export class TransformMatrix extends Parameter {
  override async load(): Promise<Tensor<"F32">> {
    const stored = await this.source?.read();
    if (!stored?.is("F64")) return stored ? toFloat32(stored) : super.load();
    return new Tensor("F32", stored.shape, Float32Array.from(stored.data));
  }
}

/** Rotates what a linear reads or gives by a Hadamard matrix, at run time: x H / √n, or x Hᵀ / √n for the inverse. */
class OnlineTransform extends Module<OnlineTransformConfig> {
  /** @param weight - what linears of equal width share */
  constructor(
    config: OnlineTransformConfig,
    readonly weight: TransformMatrix,
  ) {
    super(config);
  }

  forward(x: Node): Node {
    const factor = this.weight.shape[0] ** -0.5;
    return transformBlocks(x, this.weight, { transposed: this.config.inverse, factor });
  }
}

/** Makes a transform a part of a module, under the name that checkpoints have for it. */
export function attachTransform(module: Module, config: OnlineTransformConfig, weight: TransformMatrix): void {
  Object.assign(module, { [transformName(config.group.name, config.location)]: new OnlineTransform(config, weight) });
}

/** The name of a transform below its module. */
export function transformName(group: string, location: OnlineLocation): string {
  return `${group}_${location}`;
}

/** The distinct groups of all transforms below a module. */
export function transformGroups(model: Module): TransformGroup[] {
  const transforms = model.namedModules().flatMap(([, module]) => (module instanceof OnlineTransform ? [module] : []));
  return [...new Set(transforms.map(({ config }) => config.group))];
}

/** Paths of the modules whose input or output is transformed at run time, and whose weight is the inverse's. */
export function transformedModules(model: Module): Set<string> {
  const isTransformed = (module: Module) =>
    [...module.namedChildren()].some(([, child]) => child instanceof OnlineTransform);
  return new Set(model.namedModules().flatMap(([path, module]) => (isTransformed(module) ? [path] : [])));
}

/** A value as the transforms of a module leave it. */
export function throughTransforms(module: Module, location: OnlineLocation, value: Node): Node {
  let transformed = value;
  for (const [, child] of module.namedChildren()) {
    if (child instanceof OnlineTransform && child.config.location === location) transformed = child.call(transformed);
  }
  return transformed;
}
