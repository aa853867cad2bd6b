import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { byteLength } from "../checkpoint/layout.ts";
import { digestOf } from "../output/checksums.ts";
import { SpillFile } from "../sequential/spill-file.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { viewBytes } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { fastest } from "./fastest.ts";
import type { Rates } from "./rates.ts";

const BYTES = 8 * 2 ** 20;

/** Seconds for reading and converting a parameter, and for writing a byte of the output. */
export async function probeDisk(checkpoint: Checkpoint): Promise<Pick<Rates, "parameter" | "outputByte">> {
  return { parameter: await probeRead(checkpoint), outputByte: await probeWrite() };
}

/** The beginning of the largest tensor, as it is read; where that is no float, a conversion alone. */
async function probeRead(checkpoint: Checkpoint): Promise<number> {
  const [largest] = [...checkpoint.tensors.values()].toSorted((a, b) => byteLength(b) - byteLength(a));
  const bytes = new Uint8Array(Math.min(BYTES, byteLength(largest)) & ~7);
  const values = viewBytes("BF16", bytes);
  const seconds = await fastest(async () => {
    await checkpoint.readInto(bytes, largest.name);
    toFloat32(new Tensor("BF16", [values.length], values));
  });
  return seconds / values.length;
}

async function probeWrite(): Promise<number> {
  const file = new SpillFile();
  const bytes = new Uint8Array(BYTES);
  try {
    const seconds = await fastest(async () => {
      digestOf(bytes);
      file.free(await file.write(bytes));
    });
    return seconds / BYTES;
  } finally {
    await file.close();
  }
}
