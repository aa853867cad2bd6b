/** One of the files that transformers.js chooses from. */
export interface OnnxDType {
  /** What transformers.js calls it. */
  readonly name: string;
  /** The file below `onnx/`. */
  readonly file: string;
  /** Whether activations are float16, where that is safe. */
  readonly half: boolean;
  /** Bits that weights which no calibration has quantized are rounded to; null leaves them dense. */
  readonly bits: 4 | 8 | null;
}

/** Every type that can be written, by the names and files of transformers.js. */
export const ONNX_DTYPES: readonly OnnxDType[] = [
  { name: "fp32", file: "model.onnx", half: false, bits: null },
  { name: "fp16", file: "model_fp16.onnx", half: true, bits: null },
  { name: "q8", file: "model_quantized.onnx", half: false, bits: 8 },
  { name: "q4", file: "model_q4.onnx", half: false, bits: 4 },
  { name: "q4f16", file: "model_q4f16.onnx", half: true, bits: 4 },
];

/** Bits of a table of embeddings, where one is asked for. */
export const EMBEDDING_BITS = { q8: 8, q4: 4 } as const;
