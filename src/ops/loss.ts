import type { Operand } from "../fx/traceable.ts";
import { f32 } from "../fx/types.ts";
import { int64 } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { checkTokens, mismatch } from "./shapes.ts";

/** −log softmax(logits)[next token], for each token but the last: F32[batch, seq − 1, 1] from logits [batch, seq, vocabulary]. */
export const nextTokenLoss = defineOp<[logits: Operand, ids: Operand]>({
  name: "next_token_loss",
  infer([logits, ids]) {
    checkTokens("next_token_loss", ids);
    if (logits.shape.length !== 3)
      throw mismatch("next_token_loss", logits, "logits of shape [batch, seq, vocabulary]");
    const [batch, seq] = logits.shape;
    return f32(batch, typeof seq === "number" ? seq - 1 : `${seq}-1`, 1);
  },
  lower([logits, ids]) {
    const predictions = onnx("LogSoftmax", [onnx("Slice", [logits, int64(0), int64(-1), int64(1)])], { axis: -1 });
    const next = onnx("Unsqueeze", [onnx("Slice", [ids, int64(1), int64(2 ** 31), int64(1)]), int64(-1)]);
    return onnx("Neg", [onnx("GatherElements", [predictions, next], { axis: -1 })]);
  },
});
