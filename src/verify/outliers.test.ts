import { expect, test } from "vitest";
import { findOutliers } from "./outliers.ts";

/** Figures of one linear in as many layers. */
const layers = (...values: number[]) =>
  values.map((value, layer) => ({ path: `model.layers.${layer}.mlp.up_proj`, value }));

const pathsOf = (values: readonly { path: string }[]) => values.map(({ path }) => path);

test("figures that scatter are in line, however few there are", () => {
  expect(findOutliers(layers(16, 13, 17, 18, 9), 10)).toEqual([]);
  expect(findOutliers(layers(9.8, 15.7), 10)).toEqual([]);
  expect(findOutliers(layers(60, 40, 20, 30, 10), 10)).toEqual([]);
});

test("what is far below the rest is found, up to half of all", () => {
  expect(findOutliers(layers(17, -3, -3, 18), 10)).toEqual([
    { path: "model.layers.1.mlp.up_proj", value: -3, typical: 17 },
    { path: "model.layers.2.mlp.up_proj", value: -3, typical: 17 },
  ]);
});

test("what is better than the rest is no outlier, and what is exact is no better than what is almost", () => {
  expect(findOutliers(layers(17, 16, 90, 18), 10)).toEqual([]);
  expect(findOutliers(layers(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 55), 10)).toEqual([]);
});

test("a figure that is no number is out of line", () => {
  expect(pathsOf(findOutliers(layers(17, Number.NaN, 16), 10))).toEqual(["model.layers.1.mlp.up_proj"]);
});

test("experts are peers, other linears and other schemes are none", () => {
  const expert = (number: number, value: number, kind: string) => ({
    path: `layers.0.experts.${number}.w1`,
    kind,
    value,
  });
  const mixed = [expert(0, 5, "int2"), expert(1, 5, "int2"), expert(2, 40, "int8"), expert(3, 40, "int8")];
  expect(findOutliers([...mixed, { path: "layers.0.gate", value: -20 }], 10)).toEqual([]);
  expect(pathsOf(findOutliers([...mixed, expert(4, 5, "int8")], 10))).toEqual(["layers.0.experts.4.w1"]);
});
