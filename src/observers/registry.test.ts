import { expect, test } from "vitest";
import { memorylessMinmax, minmax, staticMinmax } from "./minmax.ts";
import { memorylessMse } from "./mse.ts";
import type { Observer } from "./observer.ts";
import { observers, resolveActivationObserver, resolveWeightObserver } from "./registry.ts";

test.each([null, "memoryless_minmax"])("a weight asking for %s gets memoryless_minmax", (name) => {
  expect(resolveWeightObserver(name)).toEqual({ observer: memorylessMinmax });
});

test.each(["minmax", "static_minmax"])("a weight asking for %s gets memoryless_minmax and a warning", (name) => {
  expect(resolveWeightObserver(name)).toEqual({
    observer: memorylessMinmax,
    warning: `Overriding weight observer for lower memory usage (${name} -> memoryless_minmax)`,
  });
});

test("a weight asking for mse gets memoryless_mse and a warning", () => {
  expect(resolveWeightObserver("mse")).toEqual({
    observer: memorylessMse,
    warning: "Overriding weight observer for lower memory usage (mse -> memoryless_mse)",
  });
});

test("an activation that asks for nothing gets minmax", () => {
  expect(resolveActivationObserver(null)).toBe(minmax);
  expect(resolveActivationObserver("static_minmax")).toBe(staticMinmax);
});

test("an observer of the user's own is found by its name", () => {
  const halved: Observer = { ...memorylessMinmax, name: "halved" };
  expect(resolveWeightObserver("halved", { ...observers, halved })).toEqual({ observer: halved });
});

test("an unknown observer is an error that lists the known ones", () => {
  expect(() => resolveWeightObserver("median")).toThrow(
    'observer: "median" is unknown, expected one of memoryless_minmax, static_minmax, minmax, memoryless_mse, mse, ' +
      "imatrix_mse, nvfp4_expanded_mse, nvfp4_expanded_imatrix, fouroversix, k_block_mse.",
  );
});
