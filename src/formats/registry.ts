import { ConfigError } from "../errors.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import type { Format } from "./format.ts";
import { inferFormat } from "./infer-format.ts";
import { packQuantized } from "./pack-quantized.ts";

/** Formats by name. */
export type FormatRegistry = Readonly<Record<string, Format>>;

/** The formats that layerwise reads and writes. */
export const formats: FormatRegistry = { [packQuantized.name]: packQuantized };

/**
 * The format in which a scheme's quantized weights are stored.
 *
 * @throws ConfigError if it is not in `registry`; `where` names the scheme.
 */
export function formatOf(scheme: QuantizationScheme, where = "scheme", registry: FormatRegistry = formats): Format {
  const name = inferFormat(scheme);
  if (Object.hasOwn(registry, name)) return registry[name];
  throw new ConfigError(
    `${where}: format ${name} is not supported yet, expected one of ${Object.keys(registry).join(", ")}.`,
  );
}
