import { RecipeError } from "../errors.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny, matchModules } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { EquivalentChange, Modifier } from "./modifier.ts";
import { type OnlineRotation, rotateOnline, rotationsOf } from "./rotation/online-rotation.ts";
import type { RotationOptions } from "./rotation/options.ts";

/** Options of {@link QuIPModifier}. */
export interface QuIPOptions extends RotationOptions {
  /** v: the inputs of linears. u: their outputs, which costs time and gains little. ["v"]. */
  readonly rotations?: readonly ("v" | "u")[];
  /** Linears. ["Linear"]. */
  readonly targets?: readonly string[];
  /** ["lm_head"]. */
  readonly ignore?: readonly string[];
}

/** Where each rotation stays at run time. */
const LOCATIONS = { v: "input", u: "output" } as const;

/**
 * QuIP (arXiv:2307.13304, arXiv:2402.04396): rotates both what a linear reads and its weight, x V (W V)ᵀ = x Wᵀ, so that the
 * weight rounds with less error; likewise its output with U. One side of each stays at run time: its matrix is saved with the
 * weights, and named in `transform_config`.
 */
export class QuIPModifier implements Modifier {
  readonly name = "QuIPModifier";
  readonly requiresCalibrationData = false;
  readonly leavesOutputs = true;
  readonly transformsAtRunTime = true;

  constructor(readonly options: QuIPOptions = {}) {}

  /** @throws RecipeError naming a target that is no linear, or whose width there is no rotation for */
  initialize(model: Module): void {
    const linears = this.#linears(model);
    if (model instanceof CausalLM && linears.some(([, linear]) => linear === model.lm_head)) model.untie();
    for (const rotation of this.#rotations) rotationsOf(linears, this.#online(rotation));
  }

  *rewrite(model: Module): Generator<EquivalentChange> {
    const linears = this.#linears(model);
    for (const rotation of this.#rotations)
      yield { name: rotation, parameters: rotateOnline(linears, this.#online(rotation)) };
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

  #online(rotation: "v" | "u"): OnlineRotation {
    const { targets = ["Linear"], ignore = ["lm_head"], transformType: type = "random-hadamard" } = this.options;
    const { transformBlockSize: blockSize } = this.options;
    return { where: this.name, name: rotation, type, location: LOCATIONS[rotation], blockSize, targets, ignore };
  }
}
