import { ConfigError } from "../errors.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { dense } from "./dense.ts";
import type { Format } from "./format.ts";
import { inferFormat } from "./infer-format.ts";
import { mxfp4PackQuantized, mxfp8Quantized } from "./microscaled.ts";
import { floatQuantized, intQuantized, naiveQuantized } from "./naive-quantized.ts";
import { nvfp4PackQuantized } from "./nvfp4-pack-quantized.ts";
import { packQuantized } from "./pack-quantized.ts";

/** Formats by name. */
export type FormatRegistry = Readonly<Record<string, Format>>;

/** The formats that layerwise reads and writes. */
export const formats: FormatRegistry = Object.fromEntries(
  [
    dense,
    packQuantized,
    intQuantized,
    floatQuantized,
    naiveQuantized,
    nvfp4PackQuantized,
    mxfp4PackQuantized,
    mxfp8Quantized,
  ].map((format) => [format.name, format]),
);

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
