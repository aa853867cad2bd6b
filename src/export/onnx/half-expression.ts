import { ONNX_TYPE } from "../../ops/constants.ts";
import type { OnnxExpression, OnnxInput } from "../../ops/onnx.ts";
import { fromFloat32 } from "../../tensor/convert.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** Expressions in float16: their constants in F32 become F16, and what they cast to F32 is cast to F16. */
export function inHalf(expressions: readonly OnnxExpression[]): readonly OnnxExpression[] {
  const rewriter = new HalfRewriter();
  return expressions.map((expression) => rewriter.expression(expression));
}

/** Keeps parts shared that are shared. */
class HalfRewriter {
  readonly #rewritten = new Map<OnnxExpression, OnnxExpression>();

  expression(expression: OnnxExpression): OnnxExpression {
    const known = this.#rewritten.get(expression);
    if (known) return known;
    const { inputs, attributes, opType } = expression;
    const isCast = opType === "Cast" && attributes?.to === ONNX_TYPE.F32;
    const half = {
      ...expression,
      inputs: inputs.map((input) => this.#input(input)),
      attributes: isCast ? { ...attributes, to: ONNX_TYPE.F16 } : attributes,
    };
    this.#rewritten.set(expression, half);
    return half;
  }

  #input(input: OnnxInput): OnnxInput {
    if (input === null) return input;
    if (input instanceof Tensor) return input.is("F32") ? fromFloat32(input, "F16") : input;
    if ("of" in input) return { ...input, of: this.expression(input.of) };
    return "value" in input ? input : this.expression(input);
  }
}
