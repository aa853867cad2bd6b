import { ConfigError } from "../../errors.ts";
import { type Architecture, POSITION_EMBEDDING } from "../../gguf/architectures.ts";
import { isKBlockType, type KBlockType } from "../../gguf/k-blocks.ts";
import type { GgufTensor } from "../../gguf/layout.ts";
import { ggufName, isOffset, isTransposed } from "../../gguf/tensor-names.ts";
import { isPlainType, specOf, type TensorType } from "../../gguf/tensor-types.ts";
import { Router } from "../../nn/experts.ts";
import { Embedding, Linear } from "../../nn/linear.ts";
import { Buffer, type Parameter } from "../../nn/parameter.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import type { ExportSettings } from "../export-format.ts";
import type { ExportSubject } from "../export-source.ts";
import { type CarrierType, carrierOf, kCarrierOf } from "./carrier.ts";

/** A tensor of the file, and what it is made of. */
export interface PlannedTensor extends GgufTensor {
  /** The parameter's path in the model. */
  readonly path: string;
  readonly parameter: Parameter;
  /** The linear whose codes and scales are carried over; undefined where values are. */
  readonly carried?: string;
  /** Whether the parameter is [in, out], and stored the other way. */
  readonly transposed?: boolean;
  /** Whether values are stored with 1 added. */
  readonly addsOne?: boolean;
}

/**
 * What becomes of each parameter, in the order of the model. Quantized weights have the type that carries them, unless `dtype` is a
 * plain one; vectors, rows and routers are F32; all else has `dtype`, or F16 beside quantized weights.
 *
 * @throws ConfigError for a parameter that the architecture has no place for, and as {@link carrierOf} does
 */
export function planTensors(
  { model, quantization }: ExportSubject,
  architecture: Architecture,
  dtype: TensorType | undefined,
  { embeddingDtype }: Pick<ExportSettings, "embeddingDtype">,
): PlannedTensor[] {
  const owners = new Map(
    model.namedModules().flatMap(([, module]) => module.ownParameters().map(([, own]) => [own, module])),
  );
  if (isKBlockType(dtype) && quantization.schemes.size === 0)
    throw new ConfigError(
      `${dtype}: weights that are not quantized, expected calibrated ones. Compress the model with --scheme-for gguf --dtype ${dtype}.`,
    );
  return model.namedParameters().flatMap(([path, parameter]): PlannedTensor[] => {
    if (parameter instanceof Buffer) return [];
    const name = ggufName(architecture, path);
    if (name === undefined) {
      throw new ConfigError(`${path}: no part of ${architecture.name} in GGUF, expected one for every parameter.`);
    }
    const transposed = isTransposed(architecture, path);
    const shape = transposed ? parameter.shape.toReversed() : parameter.shape;
    const planned = { name, path, parameter, shape, transposed };
    const module = owners.get(parameter);
    if (shape.length === 1 || module instanceof Router || name.startsWith(POSITION_EMBEDDING))
      return [{ ...planned, type: "F32", addsOne: isOffset(architecture, path) }];
    const args = module && quantization.schemes.get(module)?.weights;
    if (module instanceof Linear && args && !(dtype && isPlainType(dtype))) {
      const linear = path.replace(/\.weight$/, "");
      const { type, carriesCodes } = carriedType(args, shape, dtype, linear);
      return [{ ...planned, type, carried: carriesCodes ? linear : undefined }];
    }
    if (shape[0] === 1) return [{ ...planned, type: "F32" }];
    const isOutput = module instanceof Embedding || module === model.lm_head;
    const fallback = dtype && (isPlainType(dtype) || quantization.schemes.size === 0) ? dtype : "F16";
    const wanted = isOutput ? ((embeddingDtype as TensorType | undefined) ?? fallback) : fallback;
    return [{ ...planned, type: shape[1] % specOf(wanted).elements === 0 ? wanted : "F16" }];
  });
}

/** The type that carries a weight, which must be the one that is asked for, or stand in for it. */
function carriedType(
  args: QuantizationArgs,
  shape: readonly number[],
  dtype: TensorType | undefined,
  where: string,
): { readonly type: CarrierType | KBlockType; readonly carriesCodes: boolean } {
  const fitted = isKBlockType(dtype) ? kCarrierOf(dtype, args, shape, where) : undefined;
  if (fitted) return fitted;
  const type = carrierOf(args, shape, where);
  if (dtype === undefined || dtype === type) return { type, carriesCodes: true };
  throw new ConfigError(
    `${where}: quantized so that ${type} carries it, expected a weight for ${dtype}. Choose ${type}, or F16, or quantize again.`,
  );
}
