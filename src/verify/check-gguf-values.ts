import type { TensorInfo } from "../checkpoint/safetensors.ts";
import { isPlainType } from "../gguf/tensor-types.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { viewBytes } from "../tensor/dtype.ts";
import { findNonFinite } from "../tensor/finite.ts";
import { Tensor } from "../tensor/tensor.ts";
import { isZero, type Source } from "./check-checkpoint.ts";
import { moduleOf, type OpenedGguf } from "./opened-gguf.ts";
import { type Problem, problem } from "./problem.ts";

/** Bytes that are decoded at a time. */
const CHUNK = 2 ** 20;

/** Decodes every tensor, some rows at a time: values are finite, and a quantized weight has some that are not zero. */
export async function checkGgufValues(
  opened: OpenedGguf,
  source: Source | undefined,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const info of opened.checkpoint.tensors.values()) {
    signal?.throwIfAborted();
    const module = moduleOf(info.name);
    const { notFinite, allZero } = await scan(opened, info);
    if (notFinite) problems.push(problem(module, `NaN or infinite at ${notFinite}`, "finite numbers"));
    const isQuantized = info.encoding && !isPlainType(info.encoding.name);
    if (isQuantized && allZero && !(await isZero(source, module)))
      problems.push(problem(module, "every weight decodes to zero", "some that are not"));
  }
  return problems;
}

/** Where the first value lies that is not finite, and whether all are zero. */
async function scan({ checkpoint }: OpenedGguf, info: TensorInfo): Promise<{ notFinite?: string; allZero: boolean }> {
  const { name, shape, begin, end } = info;
  const [rows, columns] = shape.length < 2 ? [1, shape[0]] : [shape[0], shape[1]];
  const rowBytes = (end - begin) / rows;
  const count = Math.max(1, Math.floor(CHUNK / rowBytes));
  let allZero = true;
  for (let row = 0; row < rows; row += count) {
    const size = Math.min(count, rows - row);
    const bytes = new Uint8Array(size * rowBytes);
    await checkpoint.readInto(bytes, name, row * rowBytes);
    const { data } = decode(info, bytes, [size, columns]);
    const place = findNonFinite(data);
    if (place >= 0) return { notFinite: describePlace(info, row * columns + place, columns), allZero: false };
    allZero &&= data.every((value) => value === 0);
  }
  return { allZero };
}

function decode({ dtype, encoding }: TensorInfo, bytes: Uint8Array, shape: readonly number[]): Tensor<"F32"> {
  return encoding ? encoding.decode(bytes, shape) : toFloat32(new Tensor(dtype, shape, viewBytes(dtype, bytes)));
}

/** In the order of rows that the model has. */
function describePlace({ encoding }: TensorInfo, index: number, columns: number): string {
  const row = Math.floor(index / columns);
  return `row ${encoding?.places?.indexOf(row) ?? row}, column ${index % columns}`;
}
