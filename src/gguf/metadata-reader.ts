import { CheckpointError } from "../errors.ts";
import type { Metadata } from "./metadata.ts";

/** Reads values of metadata that must be there, or have a default. */
export class MetadataReader {
  constructor(
    readonly where: string,
    private readonly metadata: Metadata,
  ) {}

  /** Whether a key is there. */
  has(key: string): boolean {
    return this.metadata.has(key);
  }

  /** A number. @throws CheckpointError where there is none and no `fallback` */
  number(key: string, fallback?: number): number {
    const entry = this.metadata.get(key);
    if (entry?.type !== "array" && typeof entry?.value === "number") return entry.value;
    if (entry === undefined && fallback !== undefined) return fallback;
    throw new CheckpointError(`${this.where}: no number ${key}, expected one. Get the file again.`);
  }

  /** A number; undefined where there is none. */
  optional(key: string): number | undefined {
    return this.metadata.has(key) ? this.number(key) : undefined;
  }

  /** A text; undefined where there is none. */
  text(key: string): string | undefined {
    const entry = this.metadata.get(key);
    return entry?.type === "string" ? String(entry.value) : undefined;
  }

  /** A yes or no; undefined where there is none. */
  flag(key: string): boolean | undefined {
    const entry = this.metadata.get(key);
    return entry?.type === "bool" ? entry.value === true : undefined;
  }

  /** Texts; empty where there are none. */
  texts(key: string): readonly string[] {
    const entry = this.metadata.get(key);
    return entry?.type === "array" && entry.of === "string" ? (entry.values as readonly string[]) : [];
  }

  /** Yeses and noes; empty where there are none. */
  flags(key: string): readonly boolean[] {
    const entry = this.metadata.get(key);
    return entry?.type === "array" && entry.of === "bool" ? (entry.values as readonly boolean[]) : [];
  }

  /** Numbers; empty where there are none. */
  numbers(key: string): readonly number[] {
    const entry = this.metadata.get(key);
    return entry?.type === "array" && entry.of !== "string" ? (entry.values as readonly number[]) : [];
  }
}
