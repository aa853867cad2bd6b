import type { ColumnProblem } from "../kernels/column-problem.ts";
import type { KernelPool } from "../kernels/pool.ts";
import type { StoredScale } from "../kernels/refine-columns.ts";
import type { RoundedColumns } from "../kernels/round-columns.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { QParams } from "../schemes/qparams.ts";
import { fromFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { PreparedHessian } from "./hessian.ts";
import type { Statistic } from "./tap.ts";

/** What the column loop has made of a weight, and what it worked on. */
interface Rounding extends RoundedColumns {
  readonly problem: ColumnProblem;
  readonly qparams: QParams;
  readonly args: QuantizationArgs;
}

/** Codes and scales that were made better, and what is left of the loss. */
export type Refined = Pick<Rounding, "codes" | "loss" | "qparams">;

/**
 * Goes through the columns again after GPTQ's loop, which never comes back to one: each code becomes the best one given all
 * others, each scale of a group the best one for its codes, until `sweeps` is used up. tr(E H Eᵀ), of which GPTQ's loss is half,
 * only falls. Codes as in QuantEase (arXiv:2309.01885); scales by least squares, where every group has its own.
 *
 * @param seen - the Hessian as it was observed; `prepared` is what became of it
 */
export async function refineRounding(
  kernels: KernelPool,
  { value, sequences }: Statistic,
  { diagonal }: PreparedHessian,
  { problem, codes, loss, qparams, args }: Rounding,
  sweeps: number,
): Promise<Refined> {
  const unit = 2 / sequences;
  const { scale } = qparams;
  const storedScale = args.strategy === "group" && args.scaleDtype === null ? STORED_SCALES[scale.dtype] : undefined;
  const hessian = { hessian: value, diagonal: diagonal.map((entry) => entry / unit), sweeps };
  const refined = await kernels.refineColumns(hessian, { ...problem, codes, storedScale });
  const scales = storedScale && fromFloat32(new Tensor("F32", scale.shape, refined.scale), scale.dtype);
  return {
    codes: refined.codes,
    loss: loss - (unit * refined.gain) / 2,
    qparams: scales ? { ...qparams, scale: scales } : qparams,
  };
}

const STORED_SCALES: Readonly<Record<FloatDType, StoredScale>> = {
  F32: { droppedBits: 0, smallest: 2 ** -126 },
  BF16: { droppedBits: 16, smallest: 2 ** -126 },
  F16: { droppedBits: 13, smallest: 2 ** -14 },
};
