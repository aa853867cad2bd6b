import type { MetadataValue } from "../../gguf/metadata.ts";

/** A token, and what kind of one it is. */
export interface Token {
  readonly content: string;
  /** One of TOKEN_TYPES. */
  readonly type: number;
}

/** What a file says of a tokenizer that tokenizers of other kinds say otherwise. */
export interface TokenizerKind {
  /** By id. */
  readonly tokens: readonly Token[];
  readonly entries: readonly (readonly [string, MetadataValue])[];
  /** What llama.cpp does otherwise. */
  readonly warning?: string;
}

/** A value in a message, cut where it is long. */
export function excerpt(value: unknown): string {
  const json = JSON.stringify(value) ?? "none";
  return json.length <= 200 ? json : `${json.slice(0, 200)}…`;
}
