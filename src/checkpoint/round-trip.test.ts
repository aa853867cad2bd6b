import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { openOutput } from "../output/output.ts";
import { byteSize, type DType, viewBytes } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { openCheckpoint } from "./checkpoint.ts";

const DTYPES: DType[] = ["F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I32", "I16", "I8", "U8", "BOOL"];

const tensor = fc.tuple(fc.constantFrom(...DTYPES), fc.array(fc.nat(4), { maxLength: 3 })).chain(([dtype, shape]) => {
  const length = elementCount(shape) * byteSize(dtype);
  const bytes = fc.uint8Array({ minLength: length, maxLength: length });
  return bytes.map((bytes) => new Tensor(dtype, shape, viewBytes(dtype, bytes)));
});
const name = fc.string({ unit: "binary" }).filter((name) => name !== "__metadata__");
const tensors = fc.uniqueArray(fc.tuple(name, tensor), { selector: ([name]) => name, maxLength: 8 });

test("whatever tensors are written, in whatever order and shards, the same are read", async () => {
  const above = await temporaryFolder();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(tensors, fc.integer({ min: 1, max: 200 }), async (tensors, maxShardSize) => {
      const folder = join(above, String(run++));
      const specs = tensors.map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
      const output = await openOutput({ folder, tensors: specs, maxShardSize });
      for (const [name, tensor] of tensors.toReversed()) await output.write(name, tensor);
      await output.writeText("config.json", "{}");
      await output.finish();

      const checkpoint = await openCheckpoint(folder);
      expect([...checkpoint.tensors.keys()].sort()).toEqual(tensors.map(([name]) => name).sort());
      for (const [name, { dtype, shape, bytes }] of tensors) {
        const found = await checkpoint.read(name);
        expect({ dtype: found.dtype, shape: found.shape, bytes: found.bytes }).toEqual({ dtype, shape, bytes });
      }
      await checkpoint.close();
    }),
  );
});
