import { createHash } from "node:crypto";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The shape of a Llama, under the names of its config.json. */
interface ModelShape {
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly vocab_size: number;
}

type Spec = readonly [name: string, shape: readonly number[]];

/** Bytes that are made and written at a time. */
const CHUNK = 4 * 2 ** 20;

/**
 * Writes a Llama checkpoint in bfloat16 with random weights, the same ones for the same seed and shape: a file for each layer
 * and one for the rest, chunk by chunk, so that no more than a few megabytes are in memory. It has no tokenizer: samples are
 * ready `input_ids` (see {@link writeRandomSamples}).
 */
export async function writeRandomModel(folder: string, shape: ModelShape, seed = 0): Promise<void> {
  await mkdir(folder, { recursive: true });
  const head_dim = shape.hidden_size / shape.num_attention_heads;
  const config = { model_type: "llama", torch_dtype: "bfloat16", head_dim, ...shape, tie_word_embeddings: false };
  await writeFile(join(folder, "config.json"), JSON.stringify(config, null, 2));
  const shards = [outerTensors(shape), ...layerTensors(shape)];
  const weightMap: Record<string, string> = {};
  for (const [index, specs] of shards.entries()) {
    const file = `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    await writeShard(join(folder, file), specs, seed);
    for (const [name] of specs) weightMap[name] = file;
  }
  const total_size = shards.flat().reduce((sum, [, shape]) => sum + 2 * product(shape), 0);
  const index = { metadata: { total_size }, weight_map: weightMap };
  await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
}

/** Writes rows of random token ids: `samples` of `length` tokens each, as calibration data. */
export async function writeRandomSamples(
  path: string,
  { samples, length, vocabulary }: { samples: number; length: number; vocabulary: number },
): Promise<void> {
  const rows = Array.from({ length: samples }, (_, sample) => {
    const words = randomWords(`sample ${sample}`, length);
    return JSON.stringify({ input_ids: Array.from(words, (word) => word % vocabulary) });
  });
  await writeFile(path, `${rows.join("\n")}\n`);
}

function outerTensors({ vocab_size, hidden_size }: ModelShape): Spec[] {
  return [
    ["model.embed_tokens.weight", [vocab_size, hidden_size]],
    ["lm_head.weight", [vocab_size, hidden_size]],
    ["model.norm.weight", [hidden_size]],
  ];
}

function layerTensors(shape: ModelShape): Spec[][] {
  const { num_hidden_layers: layers, hidden_size: hidden, intermediate_size: inner } = shape;
  const keys = (hidden / shape.num_attention_heads) * shape.num_key_value_heads;
  return Array.from({ length: layers }, (_, layer) => {
    const specs: Spec[] = [
      ["input_layernorm.weight", [hidden]],
      ["self_attn.q_proj.weight", [hidden, hidden]],
      ["self_attn.k_proj.weight", [keys, hidden]],
      ["self_attn.v_proj.weight", [keys, hidden]],
      ["self_attn.o_proj.weight", [hidden, hidden]],
      ["post_attention_layernorm.weight", [hidden]],
      ["mlp.gate_proj.weight", [inner, hidden]],
      ["mlp.up_proj.weight", [inner, hidden]],
      ["mlp.down_proj.weight", [hidden, inner]],
    ];
    return specs.map(([name, size]): Spec => [`model.layers.${layer}.${name}`, size]);
  });
}

async function writeShard(path: string, specs: readonly Spec[], seed: number): Promise<void> {
  let end = 0;
  const entries = specs.map(([name, shape]) => {
    const begin = end;
    end += 2 * product(shape);
    return [name, { dtype: "BF16", shape, data_offsets: [begin, end] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, "w");
  try {
    await file.write(Buffer.concat([header, json]));
    for (const [name, shape] of specs) {
      for (let left = 2 * product(shape), chunk = 0; left > 0; left -= CHUNK, chunk++) {
        await file.write(randomBFloat16(`${seed} ${name} ${chunk}`, Math.min(CHUNK, left) / 2, shape));
      }
    }
  } finally {
    await file.close();
  }
}

/** Norms near 1; matrices spread so that what goes through them keeps its size. */
function randomBFloat16(seed: string, count: number, shape: readonly number[]): Uint8Array {
  const isVector = shape.length === 1;
  const [middle, spread] = isVector ? [1, 0.1] : [0, Math.sqrt(3 / shape[1])];
  const values = new Float32Array(count);
  const words = randomWords(seed, count);
  for (let i = 0; i < count; i++) values[i] = middle + spread * (words[i] / 2 ** 31 - 1);
  const halves = new Uint16Array(values.buffer);
  const result = new Uint16Array(count);
  for (let i = 0; i < count; i++) result[i] = halves[2 * i + 1];
  return new Uint8Array(result.buffer);
}

/** Xorshift (Marsaglia, 2003) from a digest of the seed. */
function randomWords(seed: string, count: number): Uint32Array {
  let state = createHash("sha256").update(seed).digest().readUInt32LE() || 1;
  const words = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return words;
}

function number(value: number): string {
  return String(value).padStart(5, "0");
}

function product(shape: readonly number[]): number {
  return shape.reduce((result, size) => result * size, 1);
}
