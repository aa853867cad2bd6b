import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { FuzzTarget } from "./targets.ts";

/** How a target is run. */
interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Called after each input. */
  readonly onEnd?: () => void;
}

/** What became of a target's inputs. */
interface FuzzResult {
  /** Inputs that were read, and inputs that were refused with a LayerwiseError. */
  readonly accepted: number;
  readonly refused: number;
  /** What failed, with the smallest input that fails; undefined if nothing did. */
  readonly report?: string;
}

/** Inputs that a target gets of all. */
export function inputsOf({ share }: FuzzTarget, all: readonly FuzzTarget[], inputs: number): number {
  const shares = all.reduce((sum, target) => sum + target.share, 0);
  return Math.ceil((inputs * share) / shares);
}

/** Gives a target its inputs. */
export async function runFuzzTarget(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-fuzz-"));
  const counts = { accepted: 0, refused: 0 };
  try {
    const property = target.property(folder, (accepted) => {
      counts[accepted ? "accepted" : "refused"] += 1;
      options.onEnd?.();
    });
    const details = await fc.check(property, { numRuns: options.inputs, seed: options.seed });
    return { ...counts, report: details.failed ? fc.defaultReportMessage(details) : undefined };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
