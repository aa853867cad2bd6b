import type { Linear } from "../../nn/linear.ts";
import {
  attachTransform,
  type OnlineLocation,
  type TransformArgs,
  type TransformGroup,
  TransformMatrix,
  transformName,
} from "../../nn/online-transform.ts";
import type { Parameter, Rewrite } from "../../nn/parameter.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { HadamardRotation } from "./hadamard.ts";
import { blockSize, type RotationOptions, rotationFactory } from "./options.ts";
import { rotateAxis } from "./rotate-axis.ts";

/** Linears by path. */
export type NamedLinears = readonly (readonly [path: string, linear: Linear])[];

/** A rotation of what linears read or give, one side of which stays at run time. */
export interface OnlineRotation extends Pick<TransformGroup, "name" | "type"> {
  /** What errors begin with. */
  readonly where: string;
  readonly location: OnlineLocation;
  readonly blockSize: RotationOptions["transformBlockSize"];
  /** Patterns of the linears, as `transform_config` tells them. */
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}

/** The axis of a weight that each side's rotation is moved into, and what `transform_config` calls that. */
const WEIGHT_SIDES = {
  input: { axis: 1, onWeight: "weight_input" },
  output: { axis: 0, onWeight: "weight_output" },
} as const;

/**
 * The rotation of each linear; those of equal width have the same one.
 *
 * @throws RecipeError naming a linear whose width there is no rotation for
 */
export function rotationsOf(linears: NamedLinears, online: OnlineRotation): HadamardRotation[] {
  const factory = rotationFactory(online.type);
  return linears.map(([path, { inFeatures, outFeatures }]) => {
    const width = online.location === "input" ? inFeatures : outFeatures;
    return factory.create(blockSize(`${online.where}: ${path}`, width, { transformBlockSize: online.blockSize }));
  });
}

/** Lets linears rotate what they read or give at run time. @returns their parameters, with the rotation moved into them */
export function rotateOnline(linears: NamedLinears, online: OnlineRotation): Map<Parameter, Rewrite> {
  const { name, location } = online;
  const { axis } = WEIGHT_SIDES[location];
  const group = transformGroup(online);
  const matrices = new Map<HadamardRotation, TransformMatrix>();
  const rewrites = new Map<Parameter, Rewrite>();
  for (const [index, rotation] of rotationsOf(linears, online).entries()) {
    const [path, linear] = linears[index];
    const matrix = matrices.get(rotation) ?? storedMatrix(`${path}.${transformName(name, location)}.weight`, rotation);
    matrices.set(rotation, matrix);
    attachTransform(linear, { group, location, inverse: location === "output" }, matrix);
    rewrites.set(linear.weight, (value) => rotateAxis(value, axis, rotation));
    if (location === "output" && linear.bias) rewrites.set(linear.bias, (value) => rotateAxis(value, 0, rotation));
  }
  return rewrites;
}

/** What `transform_config` says of a rotation, as the reference spells it: what comes later is the inverse. */
function transformGroup({ name, type, location, targets, ignore, blockSize }: OnlineRotation): TransformGroup {
  const args = (where: TransformArgs["location"], inverse: boolean) => ({ targets, location: where, inverse, ignore });
  const { onWeight } = WEIGHT_SIDES[location];
  const apply =
    location === "input"
      ? [args(location, false), args(onWeight, true)]
      : [args(onWeight, false), args(location, true)];
  return { name, type, apply, headDim: blockSize ?? null };
}

/** A rotation as checkpoints hold it, under the name of the first linear that has it. */
function storedMatrix(name: string, rotation: HadamardRotation): TransformMatrix {
  const shape = [rotation.size, rotation.size];
  const matrix = new TransformMatrix(shape);
  const read = async () => new Tensor("F64", shape, rotation.matrix() as Float64Array<ArrayBuffer>);
  matrix.source = { name, dtype: "F64", shape, read };
  return matrix;
}
