import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { FormatName, QuantizationScheme } from "../schemes/scheme.ts";

/** Which weights and inputs a format is for: fields of their arguments, null for none, nothing for any. */
interface FormatRule {
  readonly format: FormatName;
  readonly weights: Partial<QuantizationArgs> | null;
  readonly inputs?: "some" | "none";
}

/** The first rule that fits decides, as in compressed-tensors, which has none for zero points that are no codes. */
const RULES: readonly FormatRule[] = [
  { format: "dense", weights: null },
  { format: "mxfp4-pack-quantized", weights: { type: "float", numBits: 4, groupSize: 32 } },
  { format: "mxfp8-quantized", weights: { type: "float", numBits: 8, groupSize: 32, scaleDtype: "torch.uint8" } },
  { format: "nvfp4-pack-quantized", weights: { type: "float", numBits: 4, groupSize: 16 } },
  { format: "int-quantized", weights: { type: "int" }, inputs: "some" },
  { format: "int-quantized", weights: { type: "int", zpDtype: "torch.float32" } }, // which cannot be packed
  { format: "pack-quantized", weights: { type: "int" }, inputs: "none" },
  { format: "float-quantized", weights: { type: "float" }, inputs: "some" },
  { format: "naive-quantized", weights: {}, inputs: "none" },
];

/** The format of a scheme's modules: its own if it names one, else the one that what it quantizes calls for. */
export function inferFormat(scheme: QuantizationScheme): FormatName {
  // the last two rules leave no arguments over, so one always fits
  return scheme.format ?? (RULES.find((rule) => fits(rule, scheme)) as FormatRule).format;
}

/** The format of a whole checkpoint: the one that all quantized groups share, `dense` if there are none. */
export function overallFormat(formats: readonly FormatName[]): FormatName | "mixed-precision" {
  const distinct = [...new Set(formats)].filter((format) => format !== "dense");
  return distinct.length > 1 ? "mixed-precision" : (distinct[0] ?? "dense");
}

function fits({ weights, inputs }: FormatRule, scheme: QuantizationScheme): boolean {
  if (weights === null || scheme.weights === null) return weights === scheme.weights;
  if (inputs && (scheme.inputActivations === null) !== (inputs === "none")) return false;
  const found = scheme.weights;
  return Object.entries(weights).every(([field, value]) => found[field as keyof QuantizationArgs] === value);
}
