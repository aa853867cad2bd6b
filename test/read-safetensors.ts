import { readFileSync } from "node:fs";
import { type DType, viewBytes } from "../src/tensor/dtype.ts";
import { Tensor } from "../src/tensor/tensor.ts";

interface Entry {
  dtype: DType;
  shape: number[];
  data_offsets: [start: number, end: number];
}

/** All tensors of a small safetensors file, by name. */
export function readSafetensors(file: string | URL): Map<string, Tensor> {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, Entry>;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        return [name, new Tensor(dtype, shape, viewBytes(dtype, bytes.subarray(start + from, start + to)))];
      },
    ),
  );
}
