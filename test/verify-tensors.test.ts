import { Tensor } from "../src/tensor/tensor.ts";
import { type CheckpointDamage, edit, get, testCheckpointDamages } from "./damaged-checkpoint.ts";

const Q = "model.layers.0.self_attn.q_proj";
const EXPERT = "model.layers.1.block_sparse_moe.experts.2.w1";

/** Puts the tensors of one module in place of another's, and the other's in its place. */
function swap(tensors: Map<string, Tensor>, a: string, b: string): void {
  for (const [name, tensor] of [...tensors].filter(([name]) => name.startsWith(`${a}.`))) {
    const other = name.replace(a, b);
    const before = get(tensors, other);
    tensors.set(other, tensor);
    tensors.set(name, before);
  }
}

const DAMAGES: Readonly<Record<string, CheckpointDamage>> = {
  "a flipped bit in packed codes": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, `${Q}.weight_packed`).data[1000] = 1;
      }),
    where: `${Q}.weight_packed`,
    message: "other bytes than were written",
    checksums: true,
  },
  "a flipped bit in a norm": {
    base: "experts",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, "model.norm.weight").data[3] = 1.25;
      }),
    where: "model.norm.weight",
    message: "other bytes than were written",
    checksums: true,
  },
  "a scale that is NaN": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, `${Q}.weight_scale`).data[5] = 0x7fc0;
      }),
    where: Q,
    message: "weight_scale is NaN at index 5",
  },
  "a scale that is negative": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        const scales = get(tensors, `${Q}.weight_scale`).data as Uint16Array;
        scales[5] |= 0x8000;
      }),
    where: Q,
    message: /weight_scale is -0\.\d+ at index 5, expected a positive number/,
  },
  "infinity in an embedding": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, "model.embed_tokens.weight").data[2 * 256 + 7] = 0x7f80;
      }),
    where: "model.embed_tokens.weight",
    message: "NaN or infinite at row 2, column 7",
  },
  "a tensor that is missing": {
    base: "asymmetric",
    damage: (folder) => edit(folder, (tensors) => void tensors.delete(`${Q}.weight_scale`)),
    where: Q,
    message: "expected weight_packed, weight_scale, weight_shape, weight_zero_point",
  },
  "a norm that is missing": {
    base: "asymmetric",
    damage: (folder) => edit(folder, (tensors) => void tensors.delete("model.layers.2.input_layernorm.weight")),
    where: "model.layers.2.input_layernorm",
    message: "the file has nothing, expected weight",
  },
  "a tensor that nothing asks for": {
    base: "asymmetric",
    damage: (folder) => edit(folder, (tensors) => void tensors.set(`${Q}.input_scale`, Tensor.zeros("BF16", [1]))),
    where: Q,
    message: "the file has input_scale, weight_packed",
  },
  "a scale of another shape": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => void tensors.set(`${Q}.weight_scale`, Tensor.zeros("BF16", [256, 1]))),
    where: Q,
    message: "weight_scale BF16[256, 1], expected weight_scale BF16[256, 2]",
  },
  "a weight_shape that is another's": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, `${Q}.weight_shape`).data[0] = 128n;
      }),
    where: Q,
    message: "weight_shape [128, 256], expected [256, 256]",
  },
  "zero points that are packed along columns": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => void tensors.set(`${Q}.weight_zero_point`, Tensor.zeros("I32", [256, 1]))),
    where: Q,
    message: "weight_zero_point I32[256, 1], expected weight_zero_point I32[32, 2]",
  },
  "a code of more bits than the scheme has": {
    base: "bytes",
    damage: (folder) =>
      edit(folder, (tensors) => {
        get(tensors, `${Q}.weight`).data[9] = 8;
      }),
    where: Q,
    message: "a code of 8 at index 9, expected one from -8 to 7",
  },
  "layers in another order": {
    base: "asymmetric",
    damage: (folder) => edit(folder, (tensors) => swap(tensors, "model.layers.1", "model.layers.2")),
    where: "model.layers.2.mlp.up_proj",
    message: /its weight is -?\d+\.\d dB above its error, expected about \d+\.\d dB/,
    source: true,
  },
  "rows in another order": {
    base: "bytes",
    damage: (folder) =>
      edit(folder, (tensors) => {
        const { data } = get(tensors, `${Q}.weight`);
        (data as Int8Array).set((data as Int8Array).slice().reverse());
      }),
    where: Q,
    message: /its weight is -?\d+\.\d dB above its error/,
    source: true,
  },
  "a norm of another layer": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        const [norm, other] = ["model.layers.0.input_layernorm.weight", "model.layers.3.input_layernorm.weight"];
        tensors.set(norm, get(tensors, other));
      }),
    where: "model.layers.0.input_layernorm",
    message: /its weight is -?\d+\.\d dB above its error, expected about 60.0 dB/,
    source: true,
  },
  "an expert of zeros": {
    base: "experts",
    damage: (folder) =>
      edit(folder, (tensors) => void get(tensors, `${EXPERT}.weight_packed`).data.fill(0x88888888 as never)),
    where: EXPERT,
    message: "every weight decodes to zero",
  },
  "an expert in the place of another": {
    base: "experts",
    damage: (folder) => edit(folder, (tensors) => swap(tensors, EXPERT, EXPERT.replace("2.w1", "3.w1"))),
    where: EXPERT,
    message: /its weight is -?\d+\.\d dB above its error/,
    source: true,
  },
  "an embedding of another order": {
    base: "asymmetric",
    damage: (folder) =>
      edit(folder, (tensors) => {
        const { data } = get(tensors, "model.embed_tokens.weight");
        (data as Uint16Array).set((data as Uint16Array).slice().reverse());
      }),
    where: "logits",
    message: /nats a token from the original's, expected less than the \d+\.\d+ of a blind guess/,
    source: true,
  },
};

testCheckpointDamages(DAMAGES);
