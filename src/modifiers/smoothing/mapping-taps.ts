import type { Module } from "../../nn/module.ts";
import type { CompressionStage } from "../modifier.ts";
import { neverRun } from "../shared-input.ts";
import type { Reduction, Statistic, Tap } from "../tap.ts";
import { describeMapping, type Mapping } from "./mapping.ts";

/** Taps on what the linears of mappings read: all of a mapping's linears read one value. */
export class MappingTaps {
  readonly #taps = new Map<Mapping, Tap>();

  constructor(
    private readonly mappings: readonly Mapping[],
    private readonly reduce: Reduction,
  ) {}

  /** A tap for each mapping whose first linear `module` is. */
  of(module: Module): Tap[] {
    const own = this.mappings.filter(({ balanced: [first] }) => first.module === module);
    for (const mapping of own) this.#taps.set(mapping, { module, reduce: this.reduce });
    return own.map((mapping) => this.#taps.get(mapping) as Tap);
  }

  /** The mappings of a stage in order, each with what its tap has seen. @throws CompressionError naming one that was never run */
  *seenIn(stage: CompressionStage): Generator<[mapping: Mapping, seen: Statistic]> {
    const modules = new Set(stage.modules.map(([, module]) => module));
    for (const mapping of this.#taps.keys()) {
      if (!modules.has(mapping.module)) continue;
      const seen = this.seen(stage, mapping);
      if (!seen) throw neverRun(describeMapping(mapping));
      yield [mapping, seen];
    }
  }

  /** What a mapping's tap has seen; undefined without one. */
  seen(stage: CompressionStage, mapping: Mapping): Statistic | undefined {
    const tap = this.#taps.get(mapping);
    return tap && stage.statistic(tap);
  }
}
