import type { TensorSpec } from "../../checkpoint/layout.ts";
import type { OnnxExpression, OnnxInput } from "../../ops/onnx.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** A tensor of an ONNX file's external data. */
export interface InitializerSpec extends TensorSpec {
  /** The same bytes under another name and shape, for an operator that wants them so. */
  readonly view?: { readonly name: string; readonly shape: readonly number[] };
}

/** How a parameter lies in an ONNX file, and what computes with it there. */
export interface StoredWeight {
  /** Known before a value is read. */
  readonly initializers: readonly InitializerSpec[];
  /** The values of the initializers, in their order. Nothing stays in memory. */
  load(): Promise<readonly Tensor[]>;
  /** The parameter itself, for operators that read it dense. */
  value?(): OnnxInput;
  /** x Wᵀ. */
  multiply(x: OnnxInput): OnnxExpression;
  /** Rows by their I64 index. */
  lookUp(ids: OnnxInput): OnnxExpression;
}
