import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import { secondMoment, type Tap } from "../src/modifiers/tap.ts";
import type { Module } from "../src/nn/module.ts";
import { Tensor } from "../src/tensor/tensor.ts";

/** Keeps XᵀX of the input of the modules that it is to observe, and changes nothing. */
export class SecondMoments implements Modifier {
  readonly name = "SecondMoments";
  readonly options = {};
  readonly requiresCalibrationData = true;
  /** By path. */
  readonly moments = new Map<string, Tensor<"F32">>();
  readonly #taps = new Map<Module, Tap>();

  constructor(private readonly observes: (module: Module) => boolean) {}

  initialize(): void {}

  taps(module: Module): Tap[] {
    if (!this.observes(module)) return [];
    const tap = { module, reduce: secondMoment };
    this.#taps.set(module, tap);
    return [tap];
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      const tap = this.#taps.get(module);
      const seen = tap && stage.statistic(tap);
      if (seen) this.moments.set(path, new Tensor("F32", seen.value.shape, seen.value.data.slice()));
    }
  }
}

/** The sum of the diagonal of a square matrix: of XᵀX, all that a module has read, squared. */
export function trace({ shape: [size], data }: Tensor<"F32">): number {
  return Array.from({ length: size }, (_, index) => data[index * (size + 1)]).reduce((sum, one) => sum + one, 0);
}
