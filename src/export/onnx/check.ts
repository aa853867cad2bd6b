import { ConfigError } from "../../errors.ts";
import { Linear } from "../../nn/linear.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import type { ExportSubject } from "../export-source.ts";
import { blockLayout } from "./block-codes.ts";
import { ONNX_DTYPES, type OnnxDType } from "./dtypes.ts";

/** A linear and how its weight is quantized. */
interface QuantizedLinear {
  readonly path: string;
  readonly linear: Linear;
  readonly args: QuantizationArgs;
}

/** The linears of a model whose weights are quantized. */
export function quantizedLinears({ model, quantization }: ExportSubject): QuantizedLinear[] {
  return model.namedModules().flatMap(([path, linear]) => {
    const args = linear instanceof Linear ? quantization.schemes.get(linear)?.weights : undefined;
    return linear instanceof Linear && args ? [{ path, linear, args }] : [];
  });
}

/** The types of these names; without any, the one that holds the model's weights as they are. */
export function chooseDTypes(subject: ExportSubject, names: readonly string[]): OnnxDType[] {
  if (names.length > 0) return ONNX_DTYPES.filter(({ name }) => names.includes(name));
  const widths = integerWidths(subject);
  const bits = widths.length === 0 ? null : Math.max(...widths) > 4 ? 8 : 4;
  return ONNX_DTYPES.filter((dtype) => dtype.bits === bits && !dtype.half);
}

/**
 * Refuses types whose files could not hold the codes of a model's weights.
 *
 * @throws ConfigError with the type, or the scheme, to choose
 */
export function checkCodes(subject: ExportSubject, dtypes: readonly OnnxDType[]): void {
  const quantized = dtypes.filter(({ bits }) => bits !== null);
  if (quantized.length === 0) return;
  const widths = integerWidths(subject);
  for (const { name, bits } of quantized) {
    if (widths.length === 0 || widths.some((width) => (width <= 4 ? 4 : 8) === bits)) continue;
    const other = bits === 4 ? "q8, or quantize with 4 bits" : "q4, or quantize with 8 bits";
    throw new ConfigError(
      `dtype ${name}: the model's codes have ${widths[0]} bits, expected ${bits}. Choose ${other}.`,
    );
  }
  for (const { path, linear, args } of quantizedLinears(subject)) {
    if (args.type === "int") blockLayout(args, linear.weight.shape, path);
  }
}

function integerWidths(subject: ExportSubject): number[] {
  const args = quantizedLinears(subject).map(({ args }) => args);
  return [...new Set(args.filter(({ type }) => type === "int").map(({ numBits }) => numBits))];
}
