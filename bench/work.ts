import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** What is calibrated on, and how. */
interface Calibration {
  readonly samples: number;
  /** Tokens of each sample. */
  readonly length: number;
  readonly onePass: boolean;
}

/**
 * Floating-point operations that GPTQ of a Llama-like model needs: its decoder layers' linears and causal attention, and the
 * Hessian of each distinct input, half of it by symmetry. With two passes, the calibrating one leaves out the last projection,
 * and the last layer is not propagated. Rounding the weights is not counted: it does not grow with the tokens.
 */
export async function countWork(model: string, { samples, length, onePass }: Calibration): Promise<number> {
  const config = JSON.parse(await readFile(join(model, "config.json"), "utf8"));
  const { hidden_size: hidden, intermediate_size: intermediate, num_hidden_layers: layers } = config;
  const { num_attention_heads: heads, num_key_value_heads: keyHeads = heads } = config;
  const width = config.head_dim ?? hidden / heads;
  const [queries, keys] = [heads * width, keyHeads * width];

  const linears = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * intermediate;
  const attention = queries * length; // QKᵀ and PV, each `length` keys for a token, half of them masked
  const hessians = (2 * hidden ** 2 + queries ** 2 + intermediate ** 2) / 2;
  const run = linears + attention;
  const calibrating = layers * (hessians + (onePass ? run : run - hidden * intermediate));
  const propagating = onePass ? 0 : (layers - 1) * run;
  return 2 * samples * length * (calibrating + propagating);
}
