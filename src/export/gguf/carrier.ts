import { ConfigError } from "../../errors.ts";
import type { KBlockType } from "../../gguf/k-blocks.ts";
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

/** The type that stands in for one of 256 columns to a block where a row is no multiple of them: it carries the same codes. */
export const STAND_INS: Readonly<Record<KBlockType, CarrierType>> = { Q4_K: "Q4_1", Q6_K: "Q8_0" };

/** How weights are to be quantized for a type that holds codes. @throws ConfigError for one that does not */
export function argsForType(dtype: string): Partial<QuantizationArgs> {
  if (dtype === "Q4_K") return { ...CARRIER_ARGS[STAND_INS[dtype]], observer: kBlockMse.name };
  if (dtype === "Q6_K") return { ...CARRIER_ARGS[STAND_INS[dtype]], numBits: 6, observer: kBlockMse.name };
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

function misfit(where: string, found: string): ConfigError {
  return new ConfigError(
    `${where}: ${found}, expected what a GGUF file can carry. Choose integers with a scale for every ${BLOCK} columns: ` +
      "4 bits symmetric (Q4_0), 4 bits asymmetric (Q4_1) or 8 bits symmetric (Q8_0); --scheme-for gguf does.",
  );
}
