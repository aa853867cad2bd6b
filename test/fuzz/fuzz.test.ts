import { expect, test } from "vitest";
import { inputsOf, runFuzzTarget } from "./run.ts";
import { FUZZ_TARGETS } from "./targets.ts";

const INPUTS = 2000;
const SEED = 20;

test.each(FUZZ_TARGETS.map((target) => [target.name, target] as const))(
  "%s: broken input ends in success or in a LayerwiseError",
  async (_, target) => {
    const inputs = inputsOf(target, FUZZ_TARGETS, INPUTS);
    const { accepted, refused, report } = await runFuzzTarget(target, { inputs, seed: SEED });
    expect(report).toBeUndefined();
    expect(accepted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  },
);
