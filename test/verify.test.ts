import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VerificationError } from "../src/errors.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import type { QuantizationOptions } from "../src/modifiers/quantization-options.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { CHECKSUMS_FILE } from "../src/output/checksums.ts";
import { writeTensorFile } from "../src/output/tensor-file.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { verify } from "../src/verify/verify.ts";
import { FIXTURES } from "./compressed-fixture.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const [LLAMA, EXPERTS] = [here("../examples/moby-tiny"), here("./fixtures/models/mixtral")];

/** What each of the checkpoints that get damaged is made of, and how. */
const BASES = {
  /** Codes and zero points of 4 bits. */
  asymmetric: { model: LLAMA, scheme: { numBits: 4, groupSize: 128, symmetric: false } },
  sharded: { model: LLAMA, scheme: { numBits: 4, groupSize: 128 }, maxShardSize: 1e6 },
  /** A code of 4 bits in each byte. */
  bytes: {
    model: LLAMA,
    scheme: { numBits: 4, strategy: "channel" },
    inputs: { numBits: 8, strategy: "token", dynamic: true },
  },
  experts: { model: EXPERTS, scheme: { numBits: 4, groupSize: 32 } },
} as const;

type Base = keyof typeof BASES;

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "layerwise-"));
  for (const [name, base] of Object.entries(BASES)) {
    const { model, scheme: weights, inputs: inputActivations, ...options } = { inputs: undefined, ...base };
    const group = { targets: ["Linear"], weights, inputActivations };
    const recipe = new QuantizationModifier({ ignore: ["lm_head"], configGroups: { group } } as QuantizationOptions);
    await oneshot({ model, recipe, threads: 1, ...options, output: join(root, name) });
  }
}, 300_000);

afterAll(() => rm(root, { recursive: true, force: true }));

type Tensors = Map<string, Tensor>;

/** Rewrites the weights of a folder, which lie in one file. */
async function edit(folder: string, change: (tensors: Tensors) => void): Promise<void> {
  const file = join(folder, "model.safetensors");
  const copies = [...readSafetensors(file)].map(
    ([name, { dtype, shape, data }]) => [name, new Tensor(dtype, shape, data.slice() as never)] as const,
  );
  const tensors: Tensors = new Map(copies);
  change(tensors);
  await writeTensorFile(file, tensors);
}

/** Sets one value in a file that holds JSON. */
async function setIn(folder: string, file: string, path: readonly string[], value: unknown): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, file), "utf8"));
  const parent = path.slice(0, -1).reduce((object, key) => object[key], json);
  parent[path[path.length - 1]] = value;
  await writeFile(join(folder, file), JSON.stringify(json));
}

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

function get(tensors: Tensors, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new VerificationError(`${name}: not in the file, expected it there.`);
  return tensor;
}

/** Puts the tensors of one module in place of another's, and the other's in its place. */
function swap(tensors: Tensors, a: string, b: string): void {
  for (const [name, tensor] of [...tensors].filter(([name]) => name.startsWith(`${a}.`))) {
    const other = name.replace(a, b);
    const before = get(tensors, other);
    tensors.set(other, tensor);
    tensors.set(name, before);
  }
}

const Q = "model.layers.0.self_attn.q_proj";
const EXPERT = "model.layers.1.block_sparse_moe.experts.2.w1";

/** A kind of damage: what it is done to, how, and what is named in which words. */
interface Damage {
  readonly base: Base;
  readonly damage: (folder: string) => Promise<void>;
  /** The module, tensor or file that is named. */
  readonly where: string | RegExp;
  readonly message: string | RegExp;
  /** Whether it takes the original model to see it. */
  readonly source?: boolean;
  /** Whether the checksums tell of it; without them everything else must. */
  readonly checksums?: boolean;
}

const DAMAGES: Readonly<Record<string, Damage>> = {
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

describe.each(Object.entries(DAMAGES))("%s", (_, { base, damage, where, message, source, checksums = false }) => {
  test("is caught, and named", async () => {
    const folder = join(await temporaryFolder(), "output");
    await cp(join(root, base), folder, { recursive: true });
    if (!checksums) await rm(join(folder, CHECKSUMS_FILE));
    await damage(folder);
    const { problems } = await verify({ model: folder, source: source ? BASES[base].model : undefined, threads: 1 });
    const named = problems.filter((problem) =>
      typeof where === "string" ? problem.where === where : where.test(problem.where),
    );
    expect(named.map((problem) => problem.message).join("\n"), JSON.stringify(problems, null, 2)).toMatch(message);
  }, 60_000);
});

test.each(Object.entries(BASES))("%s: nothing is wrong with what was not damaged", async (name, { model }) => {
  const { problems, notes, comparisons } = await verify({ model: join(root, name), source: model, threads: 1 });
  expect([problems, notes]).toEqual([[], []]);
  expect(comparisons[0].logits.klDivergence).toBeLessThan(0.3);
  expect((await verify({ model: join(root, name) })).problems).toEqual([]);
});

test.each(["rtn-fp8", "rtn-nvfp4", "rtn-kv-fp8", "gptq-w4a16", "gptq-g32-sym-none", "gptq-g32-asym-static"])(
  "%s: nothing is wrong with what the reference wrote",
  async (name) => {
    const options = { model: join(FIXTURES, name), source: join(FIXTURES, "model"), threads: 1 };
    const { problems, comparisons } = await verify(options);
    const others = problems.filter(({ message }) => !message.includes("a copy of the file of the original model"));
    expect(others).toEqual([]); // the fixtures were stored without their tokenizers
    expect(comparisons[0].subgraphs).toHaveLength(3);
  },
);

test.each([
  ["SpinQuantModifier: {rotations: [R1, R2]}", "layers are not judged one by one: the output of model.embed_tokens"],
  ["SmoothQuantModifier: {}", "weights are not judged one by one: model.layers.*.input_layernorm"],
])("after %s nothing is wrong, and what does not compare is told", async (modifier, note) => {
  const output = join(await temporaryFolder(), "output");
  const recipe = `${modifier}\nQuantizationModifier: {scheme: W8A16, ignore: [lm_head]}`;
  await oneshot({ model: LLAMA, recipe, dataset: [{ text: "Call me Ishmael." }], output, threads: 1 });
  const { problems, notes, comparisons } = await verify({ model: output, source: LLAMA, threads: 1 });
  expect(problems).toEqual([]);
  expect(notes.join("\n")).toContain(note);
  expect(comparisons[0].logits.top1Agreement).toBeGreaterThan(0.9);
});

test("a run whose output decodes to zeros ends in an error, and the output appears only when it is asked for", async () => {
  const output = join(await temporaryFolder(), "output");
  const recipe = new ZeroingModifier({ scheme: "W8A16", ignore: ["lm_head"] });
  const options: OneshotOptions = { model: LLAMA, recipe, output, threads: 1 };
  await expect(oneshot(options)).rejects.toThrow("q_proj: every weight decodes to zero, expected some that are not");
  expect(await readdir(join(output, ".."))).toEqual(["output.partial"]);
  await oneshot({ ...options, resume: true, verify: false });
  expect((await verify({ model: output })).problems).not.toEqual([]);
});

/** Rounds to nearest, and forgets all codes. */
class ZeroingModifier extends QuantizationModifier {
  override compress(stage: Parameters<QuantizationModifier["compress"]>[0]): Promise<void> {
    return super.compress(
      new Proxy(stage, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (name !== "setQuantized") return typeof value === "function" ? value.bind(target) : value;
          return (...[module, quantized, options]: Parameters<typeof target.setQuantized>) => {
            const codes = Tensor.zeros(quantized.codes.dtype, quantized.codes.shape);
            target.setQuantized(module, { ...quantized, codes }, options);
          };
        },
      }),
    );
  }
}
