import { ConfigError } from "../errors.ts";
import type { ExportFormat } from "./export-format.ts";
import { gguf } from "./gguf/gguf.ts";
import { onnx } from "./onnx/onnx.ts";

/** The formats that a checkpoint can be exported to. */
export const exportFormats: readonly ExportFormat[] = [onnx, gguf];

/** Which formats are asked for, and in which types. */
export interface ExportRequest {
  /** Names of formats: `onnx`, `gguf`. */
  readonly format: readonly string[];
  /** Types of the formats, such as `Q8_0`; each format takes its own, and chooses by the checkpoint where there is none. */
  readonly dtype?: readonly string[];
  /** The type of the embedding, and of a last projection that is not quantized. */
  readonly embeddingDtype?: string;
}

/** A format, and which of its types are asked for. */
export interface RequestedFormat {
  readonly format: ExportFormat;
  readonly dtypes: readonly string[];
}

/**
 * The formats that a request names, each with those of its types that are the format's.
 *
 * @throws ConfigError for a name that no format has, for none at all, and for a type that none of the named ones has
 */
export function resolveFormats({ format: names, dtype = [], embeddingDtype }: ExportRequest): RequestedFormat[] {
  const formats = [...new Set(names)].map(exportFormatNamed);
  if (formats.length === 0) throw new ConfigError(`format: none, expected one of ${knownFormats()}.`);
  for (const one of dtype) expectType("dtype", one, formats, ({ dtypes }) => dtypes);
  if (embeddingDtype !== undefined)
    expectType("embeddingDtype", embeddingDtype, formats, ({ embeddingDtypes }) => embeddingDtypes);
  return formats.map((format) => ({ format, dtypes: dtype.filter((one) => format.dtypes.includes(one)) }));
}

/** The format of this name. @throws ConfigError if there is none */
export function exportFormatNamed(name: string): ExportFormat {
  const format = exportFormats.find((one) => one.name === name);
  if (format) return format;
  throw new ConfigError(`format: ${JSON.stringify(name)}, expected one of ${knownFormats()}.`);
}

function knownFormats(): string {
  return exportFormats.map(({ name }) => name).join(", ");
}

function expectType(
  option: string,
  dtype: string,
  formats: readonly ExportFormat[],
  typesOf: (format: ExportFormat) => readonly string[],
): void {
  if (formats.some((format) => typesOf(format).includes(dtype))) return;
  const known = formats.map((format) => `${typesOf(format).join(", ")} (${format.name})`).join("; ");
  throw new ConfigError(`${option}: ${dtype}, expected one of ${known}.`);
}
