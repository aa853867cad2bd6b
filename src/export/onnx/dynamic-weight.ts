import { ConfigError } from "../../errors.ts";
import { int64, ONNX_TYPE, scalar } from "../../ops/constants.ts";
import { type OnnxExpression, type OnnxInput, onnx } from "../../ops/onnx.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import type { QuantizationScheme } from "../../schemes/scheme.ts";
import { toFloat32 } from "../../tensor/convert.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { transpose } from "./dense-weight.ts";
import type { StoredWeight } from "./stored-weight.ts";

/** Whether a scheme is what {@link dynamicWeight} computes: integers of 8 bits, a scale for each row and for each token. */
export function isDynamic({ weights, inputActivations: inputs }: QuantizationScheme): boolean {
  const isInt8 = (args: QuantizationScheme["weights"]) => args?.type === "int" && args.numBits === 8 && args.symmetric;
  const perRow = weights?.strategy === "channel" || weights?.strategy === "tensor";
  return (
    isInt8(weights) === true &&
    isInt8(inputs) === true &&
    perRow &&
    inputs?.strategy === "token" &&
    inputs.dynamic === true
  );
}

/**
 * A weight in int8 with a scale for each row, multiplied with activations that are rounded when they come: a scale for each
 * token, as compressed-tensors' W8A8 has it. Codes of activations are stored with 128 added, in uint8: what runtimes have the
 * fastest kernels for.
 */
export function dynamicWeight(
  name: string,
  shape: readonly number[],
  quantized: () => Promise<QuantizedWeight>,
): StoredWeight {
  const [rows, columns] = shape;
  const [codes, scales] = [`${name}.codes`, `${name}.scales`];
  return {
    initializers: [
      { name: codes, dtype: "I8", shape: [columns, rows] },
      { name: scales, dtype: "F32", shape: [rows] },
    ],
    async load() {
      const { codes, scale } = await quantized();
      const stored = toFloat32(scale).data;
      const scales = Float32Array.from({ length: rows }, (_, row) => stored[stored.length === 1 ? 0 : row]);
      return [transpose(codes as Tensor<"I8">), new Tensor("F32", [rows], scales)];
    },
    multiply(x) {
      const token = scaleOf(x);
      const product = onnx("MatMulInteger", [roundToBytes(x, token), { value: codes }, ZERO_POINT]);
      const number = onnx("Cast", [product], { to: ONNX_TYPE.F32 });
      return onnx("Mul", [onnx("Mul", [number, token]), { value: scales }]);
    },
    lookUp() {
      throw new ConfigError(`${name}: a table in int8 with a scale for each row, expected blocks.`);
    },
  };
}

const ZERO_POINT = new Tensor("U8", [], Uint8Array.of(128));

/** The largest magnitude of each token over 127.5, as the reference has it; 2^-23 where all is zero. */
function scaleOf(x: OnnxInput): OnnxExpression {
  const largest = onnx("ReduceMax", [onnx("Abs", [x]), int64(-1)], { keepdims: 1 });
  // ONNX Runtime reduces no axis where there are no tokens, as of an expert that none is routed to.
  const amax = onnx("Slice", [largest, int64(0), int64(1), int64(-1)]);
  const scale = onnx("Div", [amax, scalar("F32", 127.5)]);
  return onnx("Where", [onnx("Equal", [scale, scalar("F32", 0)]), scalar("F32", 2 ** -23), scale]);
}

/** round(clamp(x / scale, −128, 127)) + 128. */
function roundToBytes(x: OnnxInput, scale: OnnxInput): OnnxExpression {
  const clipped = onnx("Clip", [onnx("Div", [x, scale]), scalar("F32", -128), scalar("F32", 127)]);
  const shifted = onnx("Add", [onnx("Round", [clipped]), scalar("F32", 128)]);
  return onnx("Cast", [shifted], { to: ONNX_TYPE.U8 });
}
