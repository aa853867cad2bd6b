import { CompressionError } from "../../errors.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { CompressionStage, ParameterChanges } from "../modifier.ts";
import { describeMapping, type Mapping } from "./mapping.ts";

/**
 * Divides a mapping's value by `factors`, one for each of its rows, and multiplies the columns of all weights that read it: the
 * function stays the same, which the stage checks.
 *
 * @throws CompressionError naming the mapping if a factor is not positive and finite, or the function changes
 */
export async function moveFactors(stage: CompressionStage, mapping: Mapping, factors: Float64Array): Promise<void> {
  const where = describeMapping(mapping);
  const bad = factors.find((factor) => !(Number.isFinite(factor) && factor > 0));
  if (bad !== undefined) {
    throw new CompressionError(`${where}: a factor of ${bad}, expected positive and finite ones. Check the weights.`);
  }
  await stage.setEquivalent(where, await movedFactors(stage, mapping, factors));
}

async function movedFactors(
  stage: CompressionStage,
  { parameters, rows, balanced }: Mapping,
  factors: Float64Array,
): Promise<ParameterChanges> {
  const divided = parameters.map(async ({ parameter, offset }) => {
    const value = divideRows(await stage.parameter(parameter), rows, factors, offset);
    return [parameter, value] as const;
  });
  const multiplied = balanced.map(async ({ weight }) => {
    return [weight, multiplyColumns(await stage.parameter(weight), factors)] as const;
  });
  return new Map(await Promise.all([...divided, ...multiplied]));
}

/** (x + offset) / factor − offset for each element of the rows that `rows` names. */
function divideRows(
  { data, shape }: Tensor<"F32">,
  rows: Int32Array,
  factors: Float64Array,
  offset: number,
): Tensor<"F32"> {
  const [width, result] = [data.length / shape[0], data.slice()];
  for (const [index, row] of rows.entries()) {
    for (let i = row * width; i < (row + 1) * width; i++) result[i] = (data[i] + offset) / factors[index] - offset;
  }
  return new Tensor("F32", shape, result);
}

/** W · diag(factors). */
export function multiplyColumns({ data, shape }: Tensor<"F32">, factors: Float64Array): Tensor<"F32"> {
  const [rows, columns] = shape;
  const result = new Float32Array(data.length);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) result[i] = data[i] * factors[column];
  }
  return new Tensor("F32", shape, result);
}
