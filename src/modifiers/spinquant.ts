import { RecipeError } from "../errors.ts";
import { CausalLM } from "../models/causal-lm.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter, Rewrite } from "../nn/parameter.ts";
import type { EquivalentChange, Modifier } from "./modifier.ts";
import { findActivatedInputs, patternsOf } from "./rotation/activated-inputs.ts";
import { fuseNorm } from "./rotation/fuse-norm.ts";
import { MeanKeepingRotation, type Rotation } from "./rotation/hadamard.ts";
import { MersenneTwister } from "./rotation/mersenne-twister.ts";
import { type NamedLinears, type OnlineRotation, rotateOnline, rotationsOf } from "./rotation/online-rotation.ts";
import { blockSize, type RotationOptions, rotationFactory } from "./rotation/options.ts";
import { findResidualStream, type ResidualStream } from "./rotation/residual-stream.ts";
import { rotateAxis } from "./rotation/rotate-axis.ts";
import { findValueHeads, type ValueHeads } from "./rotation/value-heads.ts";

/** Options of {@link SpinQuantModifier}. */
export interface SpinQuantOptions extends RotationOptions {
  /**
   * R1: what is passed from layer to layer. R2: the values of each attention, head by head. R4: what a feed-forward's last
   * linear reads, which stays at run time. R1 and R2 by default.
   */
  readonly rotations?: readonly ("R1" | "R2" | "R4")[];
}

type SpinQuantRotation = NonNullable<SpinQuantOptions["rotations"]>[number];

/**
 * SpinQuant (arXiv:2405.16406) with rotations R1 and R2, that are moved into the weights: outliers of single columns are spread over all,
 * which round with less error. With orthogonal R, every weight that adds to the residual stream becomes Rᵀ W and every one
 * that reads it W diag(g) R, where g is the scale of the norm before it.
 *
 * A norm's scale damps the columns of its input that are large; once it is in the weights their rounding errors meet these
 * undamped, and a rotation spreads that but cannot undo it. Round to nearest can so lose more than it gains, in the reference
 * too; GPTQ sees the inputs and more than makes up for it.
 *
 * R4 rotates what no weights alone can: the input of a feed-forward's last linear, at run time; `transform_config` names it.
 *
 * What must be rotated is found in a trace of the model. Unlike the reference, embeddings are not centred: a norm that
 * subtracts no mean would notice. Where norms subtract it, R1 is a matrix that keeps means.
 */
export class SpinQuantModifier implements Modifier {
  readonly name = "SpinQuantModifier";
  readonly requiresCalibrationData = false;
  readonly leavesOutputs = true;

  constructor(readonly options: SpinQuantOptions = {}) {}

  get transformsAtRunTime(): boolean {
    return this.#rotates("R4");
  }

  /** @throws RecipeError naming a module that a rotation cannot be moved through */
  initialize(model: Module): void {
    if (this.#rotates("R1") && model instanceof CausalLM) model.untie();
    for (const _ of this.#moveIntoWeights(model));
    if (this.#rotates("R4")) rotationsOf(...this.#activatedInputs(model));
  }

  *rewrite(model: Module): Generator<EquivalentChange> {
    yield* this.#moveIntoWeights(model);
    if (this.#rotates("R4")) yield { name: "R4", parameters: rotateOnline(...this.#activatedInputs(model)) };
  }

  *#moveIntoWeights(model: Module): Generator<EquivalentChange> {
    if (this.#rotates("R1")) yield { name: "R1", parameters: this.#named("R1", () => this.#rotateStream(model)) };
    if (this.#rotates("R2")) yield { name: "R2", parameters: this.#named("R2", () => this.#rotateHeads(model)) };
  }

  async compress(): Promise<void> {}

  #rotateStream(model: Module): Map<Parameter, Rewrite> {
    const stream = findResidualStream(model);
    const rotation = this.#streamRotation(stream);
    const rewrites = new Map(stream.norms.flatMap((norm) => [...fuseNorm(norm)]));
    for (const [parameter, axis] of stream.axes) {
      const fuse = rewrites.get(parameter);
      rewrites.set(parameter, async (value) => rotateAxis(fuse ? await fuse(value) : value, axis, rotation));
    }
    for (const { bias } of stream.norms) {
      const fuse = bias && rewrites.get(bias);
      if (fuse) rewrites.set(bias, async (value) => rotateAxis(await fuse(value), 0, rotation));
    }
    return rewrites;
  }

  #streamRotation({ width, norms }: ResidualStream): Rotation {
    const size = blockSize("the residual stream", width, this.options);
    if (norms.some(({ centres }) => centres)) return new MeanKeepingRotation(size, new MersenneTwister().signs(size));
    return rotationFactory(this.options.transformType).create(size);
  }

  #rotateHeads(model: Module): Map<Parameter, Rewrite> {
    const factory = rotationFactory(this.options.transformType);
    const rotate = ({ size, axes }: ValueHeads): [Parameter, Rewrite][] =>
      axes.map(({ parameter, axis, places }) => [
        parameter,
        (value) => rotateAxis(value, axis, factory.create(size), places),
      ]);
    const heads = findValueHeads(model);
    for (const { size } of heads) factory.create(size);
    return new Map(heads.flatMap(rotate));
  }

  /** The linears that R4 is for, and what it does. */
  #activatedInputs(model: Module): [NamedLinears, OnlineRotation] {
    const linears = this.#named("R4", () => findActivatedInputs(model));
    const { transformType: type = "hadamard", transformBlockSize: blockSize } = this.options;
    const side = { where: `${this.name}: R4`, name: "R4", location: "input" } as const;
    return [linears, { ...side, type, blockSize, targets: patternsOf(linears, model), ignore: [] }];
  }

  #rotates(rotation: SpinQuantRotation): boolean {
    return (this.options.rotations ?? ["R1", "R2"]).includes(rotation);
  }

  /** Tells which rotation of which modifier an error is about. */
  #named<Result>(rotation: SpinQuantRotation, find: () => Result): Result {
    try {
      return find();
    } catch (cause) {
      if (!(cause instanceof RecipeError)) throw cause;
      throw new RecipeError(`${this.name}: ${rotation}: ${cause.message}`, { cause });
    }
  }
}
