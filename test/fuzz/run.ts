import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { FuzzTarget } from "./targets.ts";

/** How a target is run. */
export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Called before each input. */
  readonly onInput?: () => void;
}

/** Inputs that a target gets of all. */
export function inputsOf({ share }: FuzzTarget, all: readonly FuzzTarget[], inputs: number): number {
  const shares = all.reduce((sum, target) => sum + target.share, 0);
  return Math.ceil((inputs * share) / shares);
}

/** Gives a target its inputs. @returns undefined, or what failed, with the smallest input that fails */
export async function runFuzzTarget(
  target: FuzzTarget,
  { inputs, seed, onInput = () => {} }: FuzzOptions,
): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-fuzz-"));
  try {
    const details = await fc.check(target.property(folder, onInput), { numRuns: inputs, seed });
    return details.failed ? fc.defaultReportMessage(details) : undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
