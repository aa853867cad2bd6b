import { ConfigError } from "../../errors.ts";
import { isKBlockType, K_BLOCK, K_SCALES, type KBlockType } from "../../gguf/k-blocks.ts";
import { kBlockMse } from "../../observers/k-blocks.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { tilingOf } from "../../schemes/tiling.ts";

/** Types of 32 columns to a block that hold codes and scales as calibration chose them. */
export type CarrierType = "Q4_0" | "Q4_1" | "Q8_0";

/** Columns that a block has, and that share its scale. */
const BLOCK = 32;

/** The arguments that each type is made for. */
export const CARRIER_ARGS: Readonly<Record<CarrierType, Partial<QuantizationArgs>>> = {
  Q4_0: { numBits: 4, type: "int", symmetric: true, strategy: "group", groupSize: BLOCK },
  Q4_1: { numBits: 4, type: "int", symmetric: false, strategy: "group", groupSize: BLOCK },
  Q8_0: { numBits: 8, type: "int", symmetric: true, strategy: "group", groupSize: BLOCK },
};

/** What the types of 256 columns to a block are made for: scales that fit their few bits, found before weights are rounded. */
const K_ARGS: Readonly<Record<KBlockType, Partial<QuantizationArgs>>> = {
  Q4_K: { ...CARRIER_ARGS.Q4_1, zpDtype: "torch.float32", observer: kBlockMse.name },
  Q6_K: { ...CARRIER_ARGS.Q8_0, numBits: 6, groupSize: K_SCALES.Q6_K.size, observer: kBlockMse.name },
};

/** The type that stands in for one of 256 columns to a block where a row is no multiple of them: it carries the same codes, or is rounded to. */
export const STAND_INS: Readonly<Record<KBlockType, CarrierType>> = { Q4_K: "Q4_1", Q6_K: "Q8_0" };

/** How weights are to be quantized for a type that holds codes. @throws ConfigError for one that does not */
export function argsForType(dtype: string): Partial<QuantizationArgs> {
  if (isKBlockType(dtype)) return K_ARGS[dtype];
  if (Object.hasOwn(CARRIER_ARGS, dtype)) return CARRIER_ARGS[dtype as CarrierType];
  const known = [...Object.keys(CARRIER_ARGS), ...Object.keys(STAND_INS)].join(", ");
  throw new ConfigError(`dtype: ${dtype}, expected one of ${known}.`);
}

/**
 * The type that carries weights of a scheme exactly. Codes of fewer bits fit into those of more, and a scale of more columns is
 * repeated in each of their blocks.
 *
 * @throws ConfigError that says which scheme to choose, if there is none; `where` names the module
 */
export function carrierOf(args: QuantizationArgs, shape: readonly number[], where: string): CarrierType {
  const { type, numBits, symmetric } = args;
  if (type !== "int") throw misfit(where, `${type}${numBits} weights`);
  if (!symmetric && numBits > 4) throw misfit(where, `int${numBits} asymmetric weights`);
  const { columns } = tilingOf(args, shape, where);
  if (columns % BLOCK !== 0) throw misfit(where, `a scale for every ${columns} columns`);
  if (numBits > 4) return "Q8_0";
  return symmetric ? "Q4_0" : "Q4_1";
}

/**
 * The type that carries weights of a scheme for a type of 256 columns to a block, or stands in for it; undefined for a scheme that is
 * for another. Where codes cannot be carried, values are rounded to the type: 6 bits with a scale for 16 columns to Q8_0.
 */
export function kCarrierOf(
  dtype: KBlockType,
  args: QuantizationArgs,
  shape: readonly number[],
  where: string,
): { readonly type: KBlockType | CarrierType; readonly carriesCodes: boolean } | undefined {
  const { numBits, symmetric, type } = args;
  if (type !== "int" || symmetric !== (dtype === "Q6_K") || numBits > (symmetric ? 6 : 4)) return undefined;
  const { columns } = tilingOf(args, shape, where);
  if (columns % K_SCALES[dtype].size !== 0) return undefined;
  const isWhole = shape[1] % K_BLOCK === 0;
  return { type: isWhole ? dtype : STAND_INS[dtype], carriesCodes: isWhole || columns % BLOCK === 0 };
}

function misfit(where: string, found: string): ConfigError {
  return new ConfigError(
    `${where}: ${found}, expected what a GGUF file can carry. Choose integers with a scale for every ${BLOCK} columns: ` +
      "4 bits symmetric (Q4_0), 4 bits asymmetric (Q4_1) or 8 bits symmetric (Q8_0); --scheme-for gguf does.",
  );
}
