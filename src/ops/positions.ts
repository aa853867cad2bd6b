import type { Operand } from "../fx/traceable.ts";
import { scalar } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { checkTokens } from "./shapes.ts";

/**
 * Positions that count only the tokens of the text, for an attention mask I64[batch, seq]: 0, 1, … at its ones, −1 at
 * padding.
 */
export const textPositions = defineOp<[attentionMask: Operand]>({
  name: "text_positions",
  infer([mask]) {
    checkTokens("text_positions", mask);
    return mask;
  },
  lower: ([mask]) => onnx("Sub", [onnx("Mul", [onnx("CumSum", [mask, scalar("I64", 1)]), mask]), scalar("I64", 1)]),
});

/** Positions plus `offset`. */
export const shiftPositions = defineOp<[positions: Operand], { offset: number }>({
  name: "shift_positions",
  infer([positions]) {
    checkTokens("shift_positions", positions);
    return positions;
  },
  lower: ([positions], { offset }) => onnx("Add", [positions, scalar("I64", offset)]),
});
