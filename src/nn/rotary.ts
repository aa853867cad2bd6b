import { ConfigError } from "../errors.ts";
import type { Node } from "../fx/node.ts";
import { dynamicFrequencies, rotaryTable, selectFrequencies } from "../ops/rotary.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";
import { Buffer } from "./parameter.ts";
import type { RopeParameters } from "./rope-config.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";

/** What a rotary embedding needs of a model's configuration. */
interface RotaryConfig {
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rope_parameters: RopeParameters;
}

/** Columns of a head, of which models have 64 to 256. */
const WIDEST_HEAD = 2 ** 16;

/** The table of cosines and sines that rotates queries and keys by their position; all variants of `rope_parameters`. */
export class RotaryEmbedding extends Module<RotaryConfig> {
  readonly #size = rotatedColumns(this.config);
  readonly #frequencies = ropeFrequencies(this.config.rope_parameters, this.#size, this.config.max_position_embeddings);
  readonly inv_freq = buffer(this.#frequencies.inverseFrequency);
  readonly long_inv_freq = this.#frequencies.long && buffer(this.#frequencies.long.inverseFrequency);

  /** A pair (cos, sin), each [1 or batch, seq, size / 2], for position ids [1 or batch, seq]. */
  forward(positions: Node): Node {
    return rotaryTable(positions, this.#select(positions), { scaling: this.#frequencies.scaling });
  }

  #select(positions: Node): Node | Buffer {
    const { rope_parameters: rope, max_position_embeddings: maxPositions } = this.config;
    if (rope.rope_type === "dynamic") {
      return dynamicFrequencies(positions, {
        base: rope.rope_theta,
        size: this.#size,
        factor: rope.factor,
        maxPositions,
      });
    }
    const { long } = this.#frequencies;
    if (!long || !this.long_inv_freq) return this.inv_freq;
    return selectFrequencies(positions, this.inv_freq, this.long_inv_freq, { beyond: long.beyond });
  }
}

/** Columns of a head that are rotated: there is a frequency for each pair of them. */
function rotatedColumns({ head_dim, rope_parameters }: RotaryConfig): number {
  if (head_dim > WIDEST_HEAD) {
    throw new ConfigError(`head_dim: ${head_dim}, expected at most ${WIDEST_HEAD}. Correct it in config.json.`);
  }
  return Math.floor(head_dim * rope_parameters.partial_rotary_factor);
}

function buffer(values: Float32Array): Buffer {
  return new Buffer(new Tensor("F32", [values.length], values as Float32Array<ArrayBuffer>));
}
