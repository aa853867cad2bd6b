import { RecipeError } from "../errors.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny, matchModules } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import {
  attachTransform,
  type OnlineLocation,
  type TransformArgs,
  type TransformGroup,
  TransformMatrix,
  transformName,
} from "../nn/online-transform.ts";
import type { Parameter, Rewrite } from "../nn/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { EquivalentChange, Modifier } from "./modifier.ts";
import type { HadamardRotation } from "./rotation/hadamard.ts";
import { blockSize, type RotationOptions, rotationFactory } from "./rotation/options.ts";
import { rotateAxis } from "./rotation/rotate-axis.ts";

/** Options of {@link QuIPModifier}. */
export interface QuIPOptions extends RotationOptions {
  /** v: the inputs of linears. u: their outputs, which costs time and gains little. ["v"]. */
  readonly rotations?: readonly ("v" | "u")[];
  /** Linears. ["Linear"]. */
  readonly targets?: readonly string[];
  /** ["lm_head"]. */
  readonly ignore?: readonly string[];
}

/** Where each rotation stays at run time, and the axis of a weight that it is moved into. */
const SIDES = {
  v: { location: "input", axis: 1, onWeight: "weight_input" },
  u: { location: "output", axis: 0, onWeight: "weight_output" },
} as const;

/**
 * QuIP (arXiv:2307.13304, arXiv:2402.04396): rotates both what a linear reads and its weight, x V (W V)ᵀ = x Wᵀ, so that the
 * weight rounds with less error; likewise its output with U. One side of each stays at run time: its matrix is saved with the
 * weights, and named in `transform_config`.
 */
export class QuIPModifier implements Modifier {
  readonly name = "QuIPModifier";
  readonly requiresCalibrationData = false;
  readonly leavesOutputs = true;

  constructor(readonly options: QuIPOptions = {}) {}

  /** @throws RecipeError naming a target that is no linear, or whose width there is no rotation for */
  initialize(model: Module): void {
    const linears = this.#linears(model);
    if (model instanceof CausalLM && linears.some(([, linear]) => linear === model.lm_head)) model.untie();
    for (const rotation of this.#rotations) this.#rotationsOf(linears, rotation);
  }

  *rewrite(model: Module): Generator<EquivalentChange> {
    const linears = this.#linears(model);
    for (const rotation of this.#rotations) {
      const { location, axis } = SIDES[rotation];
      const group = this.#group(rotation);
      const matrices = new Map<HadamardRotation, TransformMatrix>();
      const rewrites = new Map<Parameter, Rewrite>();
      for (const [index, made] of this.#rotationsOf(linears, rotation).entries()) {
        const [path, linear] = linears[index];
        const matrix = matrices.get(made) ?? storedMatrix(`${path}.${transformName(rotation, location)}.weight`, made);
        matrices.set(made, matrix);
        attachTransform(linear, { group, location, inverse: rotation === "u" }, matrix);
        rewrites.set(linear.weight, (value) => rotateAxis(value, axis, made));
        if (rotation === "u" && linear.bias) rewrites.set(linear.bias, (value) => rotateAxis(value, 0, made));
      }
      yield { name: rotation, parameters: rewrites };
    }
  }

  async compress(): Promise<void> {}

  get #rotations(): readonly ("v" | "u")[] {
    return (["v", "u"] as const).filter((rotation) => (this.options.rotations ?? ["v"]).includes(rotation));
  }

  #linears(model: Module): [string, Linear][] {
    const { targets = ["Linear"], ignore = ["lm_head"] } = this.options;
    const targeted = matchModules(model, targets);
    return model.namedModules().flatMap(([path, module]): [string, Linear][] => {
      if (!targeted.has(module) || matchesAny(ignore, path, module)) return [];
      if (module instanceof Linear) return [[path, module]];
      throw new RecipeError(`${this.name}: ${path} is no Linear, expected targets that are. Add it to ignore.`);
    });
  }

  /** The rotation of each linear; linears of equal width have the same one. */
  #rotationsOf(linears: readonly (readonly [string, Linear])[], rotation: "v" | "u"): HadamardRotation[] {
    const factory = rotationFactory(this.options.transformType ?? "random-hadamard");
    return linears.map(([path, { inFeatures, outFeatures }]) => {
      const width = rotation === "v" ? inFeatures : outFeatures;
      return factory.create(blockSize(`${this.name}: ${path}`, width, this.options));
    });
  }

  /** What `transform_config` says of a rotation, as the reference spells it. */
  #group(rotation: "v" | "u"): TransformGroup {
    const { targets = ["Linear"], ignore = ["lm_head"], transformType = "random-hadamard" } = this.options;
    const args = (location: OnlineLocation | TransformArgs["location"], inverse: boolean): TransformArgs => ({
      targets,
      location,
      inverse,
      ignore,
    });
    const { location, onWeight } = SIDES[rotation];
    const apply =
      rotation === "v" ? [args(location, false), args(onWeight, true)] : [args(onWeight, false), args(location, true)];
    return { name: rotation, type: transformType, apply, headDim: this.options.transformBlockSize ?? null };
  }
}

/** A rotation as checkpoints hold it, under the name of the first linear that has it. */
function storedMatrix(name: string, rotation: HadamardRotation): TransformMatrix {
  const shape = [rotation.size, rotation.size];
  const matrix = new TransformMatrix(shape);
  const read = async () => new Tensor("F64", shape, rotation.matrix() as Float64Array<ArrayBuffer>);
  matrix.source = { name, dtype: "F64", shape, read };
  return matrix;
}
