import { CheckpointError } from "../errors.ts";
import type { MetadataValue, Scalar } from "./metadata.ts";
import { ARRAY_CODE, type ScalarType, storageOf, typeOfCode } from "./scalars.ts";

/** Thrown where a header goes on past the bytes that were read of it. */
export class HeaderTooShort extends Error {}

/** Bytes of the longest key or name. */
const LONGEST_NAME = 2 ** 16 - 1;

/** Reads a header's values one after another; nothing is allocated that the bytes at hand do not fill. */
export class HeaderReader {
  #position = 0;
  readonly #view: DataView;

  /** @param fileSize - nothing that is told of may be longer */
  constructor(
    private readonly file: string,
    private readonly bytes: Uint8Array,
    private readonly fileSize: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get position(): number {
    return this.#position;
  }

  /** A number. */
  number(type: Exclude<ScalarType, "string">): number {
    const { bytes, get } = storageOf(type);
    return get(this.#view, this.#take(bytes));
  }

  /** How many of something follow, each of at least `size` bytes. */
  count(what: string, size: number): number {
    const count = this.number("uint64");
    const most = Math.floor((this.fileSize - this.#position) / size);
    if (count > most) throw this.broken(`${count} ${what}`, `at most ${most} in what is left of the file`);
    return count;
  }

  /** A text; `longest` bounds its bytes. */
  text(what: string, longest = this.fileSize): string {
    const length = this.number("uint64");
    const most = Math.min(longest, this.fileSize - this.#position);
    if (length > most) throw this.broken(`a ${what} of ${length} bytes`, `at most ${most}`);
    const start = this.#take(length);
    // a token may be the mark itself: to ignore it is to keep it
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.bytes.subarray(start, start + length));
  }

  /** The name of a key or of a tensor. */
  name(what: string): string {
    return this.text(what, LONGEST_NAME);
  }

  /** A value with its type before it. Arrays of arrays are in no model's file, and refused. */
  value(key: string): MetadataValue {
    const code = this.number("uint32");
    if (code !== ARRAY_CODE) {
      const type = this.#type(key, code);
      return { type, value: this.#scalar(type, key) };
    }
    const of = this.#type(key, this.number("uint32"));
    const size = of === "string" ? storageOf("uint64").bytes : storageOf(of).bytes;
    const count = this.count(`values of ${key}`, size);
    this.#need(count * size);
    const values: Scalar[] = [];
    for (let i = 0; i < count; i++) values.push(this.#scalar(of, key));
    return { type: "array", of, values };
  }

  /** What to throw for a header that is not as the format says. */
  broken(found: string, expected: string): CheckpointError {
    return new CheckpointError(`${this.file}: ${found}, expected ${expected}. The file is broken; get it again.`);
  }

  #type(key: string, code: number): ScalarType {
    const type = typeOfCode(code);
    if (type) return type;
    throw this.broken(`${key} is of type ${code}`, "a number, a text, or a list of them");
  }

  #scalar(type: ScalarType, key: string): Scalar {
    if (type === "string") return this.text(`text in ${key}`);
    const value = this.number(type);
    return type === "bool" ? value !== 0 : value;
  }

  /** Moves on by `length` bytes, and returns where they begin. */
  #take(length: number): number {
    this.#need(length);
    this.#position += length;
    return this.#position - length;
  }

  #need(length: number): void {
    if (this.#position + length <= this.bytes.length) return;
    if (this.bytes.length < this.fileSize) throw new HeaderTooShort();
    throw this.broken(`${this.fileSize} bytes`, "the rest of the header");
  }
}
