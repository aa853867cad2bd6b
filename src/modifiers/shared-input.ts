import { CompressionError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import type { CompressionStage } from "./modifier.ts";
import type { Statistic, Tap } from "./tap.ts";

/**
 * Targets by what was seen of their input: those that read the same value have one statistic.
 *
 * @throws CompressionError naming a target that was never run
 */
export function bySharedInput<Target extends { readonly path: string; readonly module: Module }>(
  stage: CompressionStage,
  targets: Iterable<Target>,
  taps: ReadonlyMap<Module, Tap>,
): Map<Statistic, Target[]> {
  const shared = new Map<Statistic, Target[]>();
  for (const target of targets) {
    const tap = taps.get(target.module);
    const seen = tap && stage.statistic(tap);
    if (!seen) throw neverRun(target.path);
    shared.set(seen, [...(shared.get(seen) ?? []), target]);
  }
  return shared;
}

/** What is wrong with a module, or a mapping, whose taps saw nothing: it is not even a zero. */
export function neverRun(path: string): CompressionError {
  return new CompressionError(`${path}: never run on the calibration data, expected some input. Add it to ignore.`);
}
