import { truncate, writeFile } from "node:fs/promises";
import { interleavedOrder, inverseOrder, reorderRows } from "../src/gguf/row-order.ts";
import type { Damage } from "./damage.ts";
import { editEntries, editGguf, type GgufContent, ggufIn, tensorIn, testGgufDamages } from "./damaged-gguf.ts";

const [Q, DOWN, UP] = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.up_proj"];

/** Changes one tensor of the file. */
const change =
  (name: string, act: (tensor: ReturnType<typeof tensorIn>) => void) =>
  (folder: string): Promise<void> =>
    editGguf(folder, (content) => act(tensorIn(content, name)));

/** Puts the values of a tensor there as they are, all ones. */
function leaveDense(content: GgufContent, name: string): void {
  const tensor = tensorIn(content, name);
  const count = tensor.shape.reduce((product, size) => product * size);
  tensor.type = "F16";
  tensor.bytes = new Uint8Array(new Uint16Array(count).fill(0x2000).buffer);
}

function swap(content: GgufContent, a: string, b: string): void {
  const [first, second] = [tensorIn(content, a), tensorIn(content, b)];
  [first.bytes, second.bytes] = [second.bytes, first.bytes];
}

/** Puts rows of queries or keys in the order that config.json's models have, as if they had not been interleaved. */
function undoInterleaving(content: GgufContent, name: string, heads: number): void {
  const tensor = tensorIn(content, name);
  const [rows] = tensor.shape;
  tensor.bytes = reorderRows(tensor.bytes, tensor.bytes.length / rows, inverseOrder(interleavedOrder(rows, heads)));
}

const OFF = /its weight is -?\d+\.\d dB above its error, expected/;

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a flipped bit in codes": {
    damage: change("blk.0.attn_q.weight", ({ bytes }) => {
      bytes[100] ^= 1;
    }),
    where: Q,
    message: "blk.0.attn_q.weight has other bytes than were written",
    checksums: true,
  },
  "a file that was cut": {
    damage: async (folder) => truncate(await ggufIn(folder), 1_500_000),
    where: /\.gguf$/,
    message: /tensor "blk\.\d\.\w+\.weight" at bytes \d+ to \d+, expected a place of its own between \d+ and 1500000/,
  },
  "a header that was cut": {
    damage: async (folder) => truncate(await ggufIn(folder), 1000),
    where: /\.gguf$/,
    message: /The file is broken; get it again/,
  },
  "a file of another kind": {
    damage: async (folder) => writeFile(await ggufIn(folder), "GGML and more of it"),
    where: /\.gguf$/,
    message: "a file of another kind, expected one that begins with GGUF",
  },
  "an offset inside of another tensor": {
    damage: (folder) =>
      editEntries(folder, (entry) =>
        entry.name === "blk.1.ffn_down.weight" ? { ...entry, offset: entry.offset - 64 } : entry,
      ),
    where: /\.gguf$/,
    message: /tensor "blk.1.ffn_down.weight" at bytes \d+ to \d+, expected a place of its own/,
  },
  "an offset that is not aligned": {
    damage: (folder) =>
      editEntries(folder, (entry) =>
        entry.name === "blk.1.ffn_down.weight" ? { ...entry, offset: entry.offset + 8 } : entry,
      ),
    where: /\.gguf$/,
    message: /tensor "blk.1.ffn_down.weight" at bytes \d+ to \d+, expected .* aligned to 32/,
  },
  "codes that are said to be of a larger type": {
    damage: (folder) =>
      editEntries(folder, (entry) => (entry.name === "blk.1.ffn_down.weight" ? { ...entry, type: "Q8_0" } : entry)),
    where: /\.gguf$/,
    message: /tensor "blk.\d.\w+.weight" at bytes/,
  },
  "values that are said to be of another type": {
    damage: change("token_embd.weight", (tensor) => {
      tensor.type = "BF16";
    }),
    where: "model.embed_tokens",
    message: OFF,
    source: true,
  },
  "a scale that is NaN": {
    damage: change("blk.0.attn_v.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7e], (2 * 8 + 1) * 18); // row 2, its second block
    }),
    where: "model.layers.0.self_attn.v_proj",
    message: "NaN or infinite at row 2, column 32",
  },
  "a scale of queries that is infinite": {
    damage: change("blk.0.attn_q.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7c], 8 * 18); // row 1 of the file: the first of the second half of a head
    }),
    where: Q,
    message: "NaN or infinite at row 16, column 0",
  },
  "infinity in an embedding": {
    damage: change("token_embd.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7c], 2 * (3 * 256 + 7));
    }),
    where: "model.embed_tokens",
    message: "NaN or infinite at row 3, column 7",
  },
  "a weight of zeros": {
    damage: change("blk.1.ffn_down.weight", ({ bytes }) => {
      for (let at = 0; at < bytes.length; at++) if (at % 18 > 1) bytes[at] = 0x88;
    }),
    where: DOWN,
    message: "every weight decodes to zero",
  },
  "a tensor that is missing": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        content.tensors = content.tensors.filter(({ name }) => name !== "blk.1.ffn_down.weight");
      }),
    where: DOWN,
    message: "no tensor blk.1.ffn_down.weight, expected one of shape [256, 768]",
  },
  "a tensor that nothing reads": {
    damage: (folder) =>
      editGguf(folder, ({ tensors }) => {
        tensors.push({ name: "blk.2.attn_k.bias", type: "F32", shape: [128], bytes: new Uint8Array(512) });
      }),
    where: "model.layers.2.self_attn.k_proj",
    message: "a tensor blk.2.attn_k.bias, expected none: the model has no such part",
  },
  "a tensor of a name that nobody knows": {
    damage: (folder) =>
      editGguf(folder, ({ tensors }) => {
        tensors.push({ name: "blk.2.attn_x.weight", type: "F32", shape: [8], bytes: new Uint8Array(32) });
      }),
    where: /\.gguf$/,
    message: 'tensor "blk.2.attn_x.weight", expected those of llama',
  },
  "rows for columns": {
    damage: change("blk.1.ffn_down.weight", (tensor) => {
      tensor.shape = [768, 256];
    }),
    where: DOWN,
    message: "blk.1.ffn_down.weight of shape [768, 256], expected [256, 768], as keys say",
  },
  "a weight that was left dense": {
    damage: (folder) => editGguf(folder, (content) => leaveDense(content, "blk.1.ffn_up.weight")),
    where: UP,
    message: "F16: it is not quantized, expected Q4_0 as of its peers",
  },
  "a weight that was left dense in all layers": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        for (const layer of [0, 1, 2, 3]) leaveDense(content, `blk.${layer}.ffn_up.weight`);
      }),
    where: UP,
    message: "F16: it is not quantized, expected codes and scales, as the checkpoint has them",
    source: true,
  },
  "a norm in half precision": {
    damage: change("blk.1.ffn_norm.weight", (tensor) => {
      tensor.type = "F16";
      tensor.bytes = new Uint8Array(512);
    }),
    where: "model.layers.1.post_attention_layernorm",
    message: "blk.1.ffn_norm.weight of type F16, expected F32, as llama.cpp computes with vectors",
  },
  "layers in another order": {
    damage: (folder) => editGguf(folder, (content) => swap(content, "blk.1.ffn_down.weight", "blk.2.ffn_down.weight")),
    where: DOWN,
    message: OFF,
    source: true,
  },
  "a norm of another layer": {
    damage: (folder) =>
      editGguf(folder, (content) => swap(content, "blk.0.attn_norm.weight", "blk.3.attn_norm.weight")),
    where: "model.layers.0.input_layernorm",
    message: OFF,
    source: true,
  },
  "rows of queries that are not interleaved": {
    damage: (folder) => editGguf(folder, (content) => undoInterleaving(content, "blk.0.attn_q.weight", 8)),
    where: Q,
    message: OFF,
    source: true,
  },
  "rows of keys that are interleaved in no layer": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        for (const layer of [0, 1, 2, 3]) undoInterleaving(content, `blk.${layer}.attn_k.weight`, 4);
      }),
    where: "model.layers.2.self_attn.k_proj",
    message: OFF,
    source: true,
  },
  "scales of other rows": {
    damage: change("blk.1.ffn_down.weight", ({ bytes }) => {
      for (let at = 0; at < bytes.length; at += 18) bytes.set([0x00, 0x30 + (at % 7)], at);
    }),
    where: DOWN,
    message: OFF,
    source: true,
  },
};

testGgufDamages(DAMAGES);
