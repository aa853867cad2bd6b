import { readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { setIn } from "./damage.ts";
import { type CheckpointDamage, edit, get, LLAMA, testCheckpointDamages } from "./damaged-checkpoint.ts";
import { readSafetensors } from "./read-safetensors.ts";

const Q = "model.layers.0.self_attn.q_proj";
const WEIGHTS = ["quantization_config", "config_groups", "group_0", "weights"];

/** Adds a module to those that config.json says are not quantized. */
const ignoreToo = (folder: string, module: string) =>
  setIn(folder, "config.json", ["quantization_config", "ignore"], ["lm_head", module]);

/** Puts the dense weight of the original in place of a module's tensors. */
const leaveDense = (folder: string, module: string) =>
  edit(folder, (tensors) => {
    for (const name of [...tensors.keys()]) if (name.startsWith(`${module}.`)) tensors.delete(name);
    tensors.set(`${module}.weight`, get(readSafetensors(join(LLAMA, "model.safetensors")), `${module}.weight`));
  });

const DAMAGES: Readonly<Record<string, CheckpointDamage>> = {
  "a tokenizer that was edited": {
    base: "asymmetric",
    damage: (folder) => setIn(folder, "tokenizer_config.json", ["model_max_length"], 7),
    where: "tokenizer_config.json",
    message: "not what it was when it was written",
    checksums: true,
  },
  "a tokenizer that is not there": {
    base: "asymmetric",
    damage: (folder) => rm(join(folder, "tokenizer.json")),
    where: "tokenizer.json",
    message: "not there",
    checksums: true,
  },
  "a tokenizer that the source has": {
    base: "asymmetric",
    damage: (folder) => rm(join(folder, "tokenizer.json")),
    where: "tokenizer.json",
    message: "not there",
    source: true,
  },
  "a shard that was cut": {
    base: "sharded",
    damage: async (folder) => {
      const shard = (await readdir(folder)).find((name) => /-00002-of-/.test(name)) as string;
      await truncate(join(folder, shard), 100_000);
    },
    where: /model-00002-of-\d+\.safetensors$/,
    message: /tensors? .*expected/,
  },
  "a shard that is not there": {
    base: "sharded",
    damage: async (folder) => {
      const shard = (await readdir(folder)).find((name) => /-00001-of-/.test(name)) as string;
      await rm(join(folder, shard));
    },
    where: /model-00001-of-\d+\.safetensors$/,
    message: "cannot be opened",
  },
  "an index that looks for a tensor in another shard": {
    base: "sharded",
    damage: async (folder) => {
      const [path, name] = [join(folder, "model.safetensors.index.json"), `${Q}.weight_scale`];
      const { weight_map: map } = JSON.parse(await readFile(path, "utf8")) as { weight_map: Record<string, string> };
      const other = Object.values(map).find((file) => file !== map[name]);
      await setIn(folder, "model.safetensors.index.json", ["weight_map", name], other);
    },
    where: /index\.json$/,
    message: `${Q}.weight_scale is not in model-`,
  },
  "a module that was left dense": {
    base: "asymmetric",
    damage: (folder) => leaveDense(folder, Q),
    where: Q,
    message: "it is not quantized: the file has weight, expected weight_packed",
  },
  "a module that the recipe asks for, and config.json ignores": {
    base: "asymmetric",
    damage: async (folder) => {
      await leaveDense(folder, Q);
      await ignoreToo(folder, Q);
    },
    where: Q,
    message: "not quantized by config.json, expected int4 asymmetric, group 128, as the recipe asks for",
  },
  "an ignored module that is quantized": {
    base: "asymmetric",
    damage: (folder) => ignoreToo(folder, Q),
    where: Q,
    message: "the file has weight_packed, weight_scale, weight_shape, weight_zero_point, expected weight",
  },
  "a scheme of other groups than the tensors'": {
    base: "asymmetric",
    damage: (folder) => setIn(folder, "config.json", [...WEIGHTS, "group_size"], 64),
    where: Q,
    message: "weight_scale BF16[256, 2], weight_zero_point I32[32, 2], expected weight_scale BF16[256, 4]",
  },
  "a scheme that needs no zero points": {
    base: "asymmetric",
    damage: async (folder) => {
      await setIn(folder, "config.json", [...WEIGHTS, "symmetric"], true);
      await setIn(folder, "config.json", [...WEIGHTS, "zp_dtype"], null);
    },
    where: Q,
    message: "weight_zero_point, expected weight_packed, weight_scale, weight_shape, as",
  },
  "a config.json that does not parse": {
    base: "asymmetric",
    damage: (folder) => truncate(join(folder, "config.json"), 200),
    where: /config\.json$/,
    message: "does not parse",
  },
  "a dtype that no tensor has": {
    base: "asymmetric",
    damage: (folder) => setIn(folder, "config.json", ["dtype"], "float16"),
    where: "config.json",
    message: "dtype is float16, expected bfloat16",
  },
  "a setting that the source does not have": {
    base: "asymmetric",
    damage: (folder) => setIn(folder, "config.json", ["rms_norm_eps"], 1e-6),
    where: "config.json",
    message: "rms_norm_eps is 0.000001, expected 0.00001",
    source: true,
  },
};

testCheckpointDamages(DAMAGES);
