import { createHash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TensorInfo } from "../checkpoint/safetensors.ts";
import { CHECKSUMS_FILE } from "../output/checksums.ts";
import { type DType, viewBytes } from "../tensor/dtype.ts";
import { findNonFinite } from "../tensor/finite.ts";
import { GET_AGAIN, type Problem, problem } from "./problem.ts";

/** What the bytes of one tensor are checked for, chunk by chunk. */
export class ByteCheck {
  readonly #hash = createHash("sha256");
  #elements = 0;
  #notFinite = -1;

  /**
   * @param digest - SHA-256 of the bytes, where it is known
   * @param mustBeFinite - whether the values must be finite
   */
  constructor(
    private readonly info: TensorInfo,
    private readonly digest: string | undefined,
    private readonly mustBeFinite: boolean,
  ) {}

  /** Takes the next bytes, whole elements of them. */
  add(bytes: Uint8Array): void {
    if (this.digest !== undefined) this.#hash.update(bytes);
    const values = viewBytes(this.info.dtype, bytes);
    if (this.mustBeFinite && this.#notFinite < 0) {
      const place = FIRST_NOT_FINITE[this.info.dtype]?.(values as never) ?? -1;
      if (place >= 0) this.#notFinite = this.#elements + place;
    }
    this.#elements += values.length;
  }

  /** What is wrong with all the bytes together. */
  *problems(): Generator<Problem> {
    const { name, shape } = this.info;
    if (this.#notFinite >= 0) {
      const columns = shape.at(-1) ?? 1;
      const place = `row ${Math.floor(this.#notFinite / columns)}, column ${this.#notFinite % columns}`;
      yield problem(name, `NaN or infinite at ${place}`, "finite numbers");
    }
    if (this.digest === undefined || this.#hash.digest("hex") === this.digest) return;
    const advice = `${GET_AGAIN} If the change was meant, delete ${CHECKSUMS_FILE}.`;
    yield problem(name, "other bytes than were written", `those that ${CHECKSUMS_FILE} tells of`, advice);
  }
}

/** Checks a tensor that need not be decoded, with little of it in memory. */
export async function checkTensorBytes(
  checkpoint: Checkpoint,
  name: string,
  digest: string | undefined,
  mustBeFinite: boolean,
  buffer: Uint8Array,
): Promise<Problem[]> {
  const info = checkpoint.info(name);
  const check = new ByteCheck(info, digest, mustBeFinite);
  const length = info.end - info.begin;
  for (let offset = 0; offset < length; offset += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, length - offset));
    await checkpoint.readInto(chunk, name, offset);
    check.add(chunk);
  }
  return [...check.problems()];
}

/** For the dtypes that have numbers which are not finite: the index of the first one, −1 for none. */
const FIRST_NOT_FINITE: Partial<Record<DType, (values: never) => number>> = {
  F32: findNonFinite,
  BF16: (values: Uint16Array) => findMasked(values, 0x7f80),
  F16: (values: Uint16Array) => findMasked(values, 0x7c00),
  F8_E4M3: (values: Uint8Array) => findMasked(values, 0x7f),
};

/** The first value of which all these bits are set. A plain loop: this runs over whole checkpoints. */
function findMasked(values: Uint16Array | Uint8Array, mask: number): number {
  for (let i = 0; i < values.length; i++) if ((values[i] & mask) === mask) return i;
  return -1;
}
