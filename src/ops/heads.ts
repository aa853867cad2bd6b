import type { Operand } from "../fx/traceable.ts";
import { keepsFactors } from "./column-factors.ts";
import { int64 } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { headSize, mismatch } from "./shapes.ts";

/** Gives each head an axis of its own: [batch, seq, heads · size] becomes [batch, seq, heads, size]. */
export const splitHeads = defineOp<[x: Operand], { heads: number }>({
  name: "split_heads",
  infer([x], { heads }) {
    const size = headSize("split_heads", x, heads);
    return { dtype: x.dtype, shape: [x.shape[0], x.shape[1], heads, size] };
  },
  lower: ([x], { heads }, [{ shape }]) => onnx("Reshape", [x, int64(0, 0, heads, (shape[2] as number) / heads)]),
  columns: keepsFactors,
  basis: { kind: "selects" },
});

/** Puts heads side by side again: [batch, seq, heads, size] becomes [batch, seq, heads · size]. */
export const mergeHeads = defineOp<[x: Operand]>({
  name: "merge_heads",
  infer([x]) {
    const [batch, seq, heads, size] = x.shape;
    if (x.shape.length !== 4 || typeof heads !== "number" || typeof size !== "number")
      throw mismatch("merge_heads", x, "shape [batch, seq, heads, size]");
    return { dtype: x.dtype, shape: [batch, seq, heads * size] };
  },
  lower: ([x], _, [{ shape }]) => onnx("Reshape", [x, int64(0, 0, (shape[2] as number) * (shape[3] as number))]),
  columns: keepsFactors,
  basis: { kind: "selects" },
});

/** The columns from `begin` up to but without `end`, of the last dimension: what a fused projection holds side by side. */
export const columns = defineOp<[x: Operand], { begin: number; end: number }>({
  name: "columns",
  infer([x], { begin, end }) {
    const width = x.shape.at(-1);
    if (typeof width !== "number" || begin >= end || end > width)
      throw mismatch("columns", x, `columns ${begin} to ${end} in its last dimension`);
    return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), end - begin] };
  },
  lower: ([x], { begin, end }) => onnx("Slice", [x, int64(begin), int64(end), int64(-1)]),
  columns: {
    factors(_, attrs, [{ shape }]) {
      const { begin, end } = attrs as { begin: number; end: number };
      const [taken, width] = [end - begin, shape.at(-1) as number];
      return { effect: "kept", source: (column) => width * Math.floor(column / taken) + begin + (column % taken) };
    },
  },
  basis: { kind: "selects" },
});
