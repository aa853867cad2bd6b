/** Which elements share one scale. */
export type Strategy = (typeof STRATEGIES)[number];

/** Every strategy of compressed-tensors, those for activations alone included. */
export const STRATEGIES = ["tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"] as const;

/** How one kind of tensor (weights, inputs or outputs of a module) is quantized; fields as in compressed-tensors. */
export interface QuantizationArgs {
  /** Bits of one code: 1 to 8 for `int`, 4 or 8 for `float`. */
  readonly numBits: number;
  /** `float` is E4M3FN at 8 bits, E2M1 at 4. */
  readonly type: "int" | "float";
  /** Whether zero is code 0; otherwise every scale has a zero point. */
  readonly symmetric: boolean;
  /** Which elements share one scale. */
  readonly strategy: Strategy;
  /** Columns that share one scale, for strategy `group` and `tensor_group`; -1 asks for `channel`. */
  readonly groupSize: number | null;
  /** Rows and columns that share one scale, for strategy `block`. */
  readonly blockStructure: readonly [rows: number, columns: number] | null;
  /** Whether scales are found at run time; `local` only those below a stored global scale. */
  readonly dynamic: boolean | "local";
  /** GPTQ visits columns by falling importance; `static` is another spelling of `weight`. */
  readonly actorder: "weight" | "static" | null;
  /** Dtype of the stored scale where it is not the weight's, such as `torch.uint8`. */
  readonly scaleDtype: string | null;
  /** Dtype of the zero point, null where `symmetric`; of `torch.float32` it is no code, but any number. */
  readonly zpDtype: string | null;
  /** Name of the observer that finds each scale's range; null is the default one. */
  readonly observer: string | null;
  /** What the observer is told, with keys as in recipes: `maxshrink`, `grid`, `norm`. */
  readonly observerKwargs: Readonly<Record<string, unknown>>;
}

/** The dtype that zero points are stored in: floats where they are not rounded to codes. */
export function zeroPointDType({ zpDtype }: Pick<QuantizationArgs, "zpDtype">): "I8" | "F32" {
  return zpDtype === "torch.float32" ? "F32" : "I8";
}

/** Whether scales are powers of two, stored as their exponents (E8M0): the microscaling formats MXFP4 and MXFP8. */
export function isMicroscaling({ type, groupSize, scaleDtype }: QuantizationArgs): boolean {
  return type === "float" && groupSize === 32 && scaleDtype === "torch.uint8";
}
