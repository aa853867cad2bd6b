import { expect, test } from "vitest";
import { CheckpointError } from "../errors.ts";
import { expectSameRun, fingerprintOptions } from "./fingerprint.ts";

const DIGEST = "0".repeat(64);

test("the same fingerprint goes through, whatever its order", () => {
  expectSameRun("x", { model: DIGEST, version: "1" }, { version: "1", model: DIGEST });
});

test("everything that differs is named, with its values where they are short", () => {
  const then = { version: "0.1.0", model: DIGEST, "option precision": '"auto"' };
  const now = { version: "0.2.0", model: `1${DIGEST.slice(1)}`, "option seed": "3" };
  expect(() => expectSameRun("out.partial", then, now)).toThrow(
    new CheckpointError(
      "out.partial: begun with another version (0.1.0, now 0.2.0), another model, " +
        'another option precision ("auto", now none), another option seed (none, now 3), expected the same to go on. ' +
        "Pass what it was begun with, or --overwrite without --resume to start anew.",
    ),
  );
});

test("options that decide nothing, and those that are not given, are left out", () => {
  const options: { seed?: number; threads?: number; targets?: string[] } = { threads: 2, targets: ["Linear"] };
  expect(fingerprintOptions(options, { seed: true, threads: false, targets: true })).toEqual({
    "option targets": '["Linear"]',
  });
});
