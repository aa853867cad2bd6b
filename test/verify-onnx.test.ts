import { cp, mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import onnxProto from "onnx-proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportModel } from "../src/export/export-model.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import { CHECKSUMS_FILE } from "../src/output/checksums.ts";
import { verify } from "../src/verify/verify.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const { ModelProto } = onnxProto.onnx;
type Model = onnxProto.onnx.ModelProto;
const LLAMA = fileURLToPath(new URL("../examples/moby-tiny", import.meta.url));
const FILE = "model_q4.onnx";

let root: string;
const [checkpoint, exported] = ["checkpoint", "exported"].map((name) => () => join(root, name));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "layerwise-"));
  const recipe = new QuantizationModifier({ scheme: "W4A16", ignore: ["lm_head"] });
  await oneshot({ model: LLAMA, recipe, threads: 1, output: checkpoint() });
  await exportModel({ model: checkpoint(), format: ["onnx"], output: exported() });
}, 120_000);

afterAll(() => rm(root, { recursive: true, force: true }));

async function editModel(folder: string, change: (model: Model) => void): Promise<void> {
  const path = join(folder, "onnx", FILE);
  const model = ModelProto.decode(await readFile(path));
  change(model);
  await writeFile(path, ModelProto.encode(model).finish());
}

async function setIn(folder: string, path: readonly string[], value: unknown): Promise<void> {
  const file = join(folder, "config.json");
  const json = JSON.parse(await readFile(file, "utf8"));
  const parent = path.slice(0, -1).reduce((object, key) => object[key], json);
  parent[path[path.length - 1]] = value;
  await writeFile(file, JSON.stringify(json));
}

const tensorOf = (model: Model, name: string) =>
  model.graph?.initializer?.find((one) => one.name === name) as onnxProto.onnx.ITensorProto;

const placeOf = (model: Model, name: string) =>
  Object.fromEntries((tensorOf(model, name).externalData ?? []).map(({ key, value }) => [key, value]));

function setPlace(model: Model, name: string, key: string, value: string): void {
  for (const entry of tensorOf(model, name).externalData ?? []) if (entry.key === key) entry.value = value;
}

/** Overwrites bytes of a tensor from its start on. */
async function overwrite(folder: string, name: string, bytes: (length: number) => Uint8Array): Promise<void> {
  let [offset, length] = [0, 0];
  await editModel(folder, (model) => {
    const place = placeOf(model, name);
    [offset, length] = [Number(place.offset), Number(place.length)];
  });
  const file = await open(join(folder, "onnx", `${FILE}_data`), "r+");
  await file.write(bytes(length), 0, undefined, offset);
  await file.close();
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const Q = "model.layers.0.self_attn.q_proj.weight";
const DOWN = "model.layers.1.mlp.down_proj.weight";

interface Damage {
  readonly damage: (folder: string) => Promise<void>;
  readonly where: string | RegExp;
  readonly message: string | RegExp;
  /** Whether it takes the checkpoint that was exported to see it. */
  readonly source?: boolean;
  /** Whether the checksums tell of it; without them everything else must. */
  readonly checksums?: boolean;
}

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a flipped bit in codes": {
    damage: (folder) => overwrite(folder, `${Q}.codes`, () => Uint8Array.of(0x17)),
    where: `${Q}.codes`,
    message: "other bytes than were written",
    checksums: true,
  },
  "a graph that was edited": {
    damage: (folder) =>
      editModel(folder, (model) => {
        model.producerName = "another";
      }),
    where: FILE,
    message: "not what it was when it was written",
    checksums: true,
  },
  "a tokenizer that is not there": {
    damage: (folder) => rm(join(folder, "tokenizer.json")),
    where: "tokenizer.json",
    message: "not there",
    checksums: true,
  },
  "a config.json that does not parse": {
    damage: (folder) => truncate(join(folder, "config.json"), 100),
    where: /config\.json$/,
    message: "does not parse",
  },
  "a config.json without what transformers.js reads": {
    damage: (folder) => setIn(folder, ["transformers.js_config"], undefined),
    where: /config\.json$/,
    message: "transformers.js_config",
  },
  "a model that is not there": {
    damage: (folder) => rm(join(folder, "onnx", FILE)),
    where: /model_q4\.onnx$/,
    message: "not there",
  },
  "a model that was cut": {
    damage: (folder) => truncate(join(folder, "onnx", FILE), 5000),
    where: /model_q4\.onnx$/,
    message: "does not parse",
  },
  "weights that are not there": {
    damage: (folder) => rm(join(folder, "onnx", `${FILE}_data`)),
    where: `${FILE}_data`,
    message: "not there, expected a file of weights",
  },
  "weights that were cut": {
    damage: (folder) => truncate(join(folder, "onnx", `${FILE}_data`), 1_000_000),
    where: /^model\.layers\.\d\..*\.codes$/,
    message: "model_q4.onnx_data ends before it",
  },
  "weights in a file that config.json does not count": {
    damage: (folder) => setIn(folder, ["transformers.js_config", "use_external_data_format", FILE], 0),
    where: `${Q}.codes`,
    message: "in model_q4.onnx_data, expected one of",
  },
  "weights in a file outside of the folder": {
    damage: (folder) => editModel(folder, (model) => setPlace(model, `${Q}.codes`, "location", "../../secret")),
    where: `${Q}.codes`,
    message: "in ../../secret, expected one of model_q4.onnx_data",
  },
  "an offset beyond the file": {
    damage: (folder) => editModel(folder, (model) => setPlace(model, `${Q}.codes`, "offset", "99999999")),
    where: `${Q}.codes`,
    message: "model_q4.onnx_data ends before it",
  },
  "a length that is not the shape's": {
    damage: (folder) => editModel(folder, (model) => setPlace(model, `${Q}.codes`, "length", "64")),
    where: `${Q}.codes`,
    message: "64 bytes, expected 32768, as its shape says",
  },
  "an initializer that is missing": {
    damage: (folder) =>
      editModel(folder, ({ graph }) => {
        if (graph) graph.initializer = graph.initializer?.filter(({ name }) => name !== `${Q}.scales`);
      }),
    where: `${Q}.scales`,
    message: "model_q4.onnx has no such tensor, expected one that is read",
  },
  "codes of another shape": {
    damage: (folder) =>
      editModel(folder, (model) => {
        tensorOf(model, `${Q}.codes`).dims = [256, 4, 32];
      }),
    where: `${Q}.codes`,
    message: "[256, 4, 32], expected [256, 2, 64], as MatMulNBits reads it",
  },
  "blocks of another size": {
    damage: (folder) =>
      editModel(folder, ({ graph }) => {
        const node = graph?.node?.find(({ input }) => input?.includes(`${Q}.codes`));
        for (const attribute of node?.attribute ?? []) if (attribute.name === "block_size") attribute.i = 32;
      }),
    where: `${Q}.codes`,
    message: "[256, 2, 64], expected [256, 8, 16]",
  },
  "a cache that is missing": {
    damage: (folder) =>
      editModel(folder, ({ graph }) => {
        if (graph) graph.output = graph.output?.filter(({ name }) => name !== "present.2.value");
      }),
    where: FILE,
    message: "no output present.2.value, expected one, as transformers.js has it",
  },
  "operators that are too new": {
    damage: (folder) =>
      editModel(folder, ({ opsetImport: [own] }) => {
        own.version = 99;
      }),
    where: FILE,
    message: "IR version 10, opset 99, expected 10 and 23 at most",
  },
  "a scale that is NaN": {
    damage: (folder) => overwrite(folder, `${Q}.scales`, () => floats(1, Number.NaN)),
    where: `${Q}.scales`,
    message: "NaN at index 1, expected finite numbers",
  },
  "a scale that is negative": {
    damage: (folder) => overwrite(folder, `${Q}.scales`, () => floats(1, -0.5)),
    where: `${Q}.scales`,
    message: "-0.5 at index 1, expected a positive number",
  },
  "infinity in an embedding": {
    damage: (folder) => overwrite(folder, "model.embed_tokens.weight", () => floats(1, 2, Number.POSITIVE_INFINITY)),
    where: "model.embed_tokens.weight",
    message: "Infinity at index 2",
  },
  "a weight of zeros": {
    damage: (folder) => overwrite(folder, `${DOWN}.codes`, (length) => new Uint8Array(length).fill(0x88)),
    where: `${DOWN}.codes`,
    message: "every weight decodes to zero",
  },
  "a weight that was left dense": {
    damage: (folder) =>
      editModel(folder, (model) => {
        const tensor = tensorOf(model, `${Q}.codes`);
        [tensor.name, tensor.dims, tensor.dataType] = [Q, [256, 32], 1];
        const node = model.graph?.node?.find(({ input }) => input?.includes(`${Q}.codes`));
        if (node) [node.opType, node.input] = ["MatMul", [node.input?.[0] as string, Q]];
      }),
    where: Q,
    message: "not quantized, expected codes and scales, as the checkpoint has them",
    source: true,
  },
  "layers in another order": {
    damage: (folder) =>
      editModel(folder, (model) => {
        const other = DOWN.replace("1", "2");
        const [a, b] = [DOWN, other].map((name) => placeOf(model, `${name}.codes`).offset as string);
        setPlace(model, `${DOWN}.codes`, "offset", b);
        setPlace(model, `${other}.codes`, "offset", a);
      }),
    where: DOWN.replace(".weight", ""),
    message: /its weight is -?\d+\.\d dB above its error, expected about \d+\.\d dB/,
    source: true,
  },
  "scales of other rows": {
    damage: (folder) =>
      overwrite(folder, `${Q}.scales`, () => floats(...Array.from({ length: 512 }, (_, row) => 0.001 * (1 + row)))),
    where: Q.replace(".weight", ""),
    message: /its weight is -?\d+\.\d dB above its error/,
    source: true,
  },
};

/** The nodes of a kind, in the order in which they run. */
const nodesOf = ({ graph }: Model, kind: string) => (graph?.node ?? []).filter(({ opType }) => opType === kind);

function setAttribute({ attribute }: onnxProto.onnx.INodeProto, key: string, value: number): void {
  for (const entry of attribute ?? []) if (entry.name === key) entry.f = value;
}

/** Lets two nodes read each other's input, or have each other's name for what they give. */
function exchange(
  nodes: readonly onnxProto.onnx.INodeProto[],
  end: "input" | "output",
  names: readonly string[],
): void {
  for (const node of nodes) {
    const swapped = (name: string) => names[1 - names.indexOf(name)];
    node[end] = node[end]?.map((name) => (names.includes(name) ? swapped(name) : name));
  }
}

/** Weights are what they were, and so are names and shapes: only what the model says is another thing. */
const CHANGES_OF_LOGITS: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  "a norm with another epsilon": (folder) =>
    editModel(folder, (model) => setAttribute(nodesOf(model, "RMSNormalization")[3], "epsilon", 0.1)),
  "scores of another scale": (folder) =>
    editModel(folder, (model) => setAttribute(nodesOf(model, "Attention")[2], "scale", 0.1)),
  "angles of other frequencies": (folder) =>
    overwrite(folder, "model.rotary_emb.inv_freq", (length) => new Uint8Array(length)),
  "a mask that looks ahead": (folder) =>
    editModel(folder, (model) => nodesOf(model, "LessOrEqual")[0].input?.reverse()),
  "a sum that leaves out a layer": (folder) =>
    editModel(folder, (model) => {
      for (const node of nodesOf(model, "Add"))
        if (node.name?.startsWith("model.layers.2.add"))
          node.input = [node.input?.[0] as string, node.input?.[0] as string];
    }),
  "a gate for a projection": (folder) =>
    editModel(folder, (model) => {
      const products = nodesOf(model, "MatMulNBits");
      for (const field of ["codes", "scales"])
        exchange(
          products,
          "input",
          ["gate", "up"].map((name) => `model.layers.3.mlp.${name}_proj.weight.${field}`),
        );
    }),
  "a cache that another layer fills": (folder) =>
    editModel(folder, (model) => {
      const names = ["present.1.key", "present.2.key"];
      exchange(model.graph?.node ?? [], "output", names);
    }),
};

/** The logits tell of it, and nothing else. */
const ofLogits = (damage: (folder: string) => Promise<void>): Damage => ({
  damage,
  where: `logits of ${FILE}`,
  message: /nats a token from what its weights give, expected at most/,
  source: true,
});

const RUN_DAMAGES: Readonly<Record<string, Damage>> = {
  ...Object.fromEntries(Object.entries(CHANGES_OF_LOGITS).map(([name, damage]) => [name, ofLogits(damage)])),
  "an operation that does not exist": {
    damage: (folder) =>
      editModel(folder, (model) => {
        nodesOf(model, "RMSNormalization")[0].opType = "RMSNormalisation";
      }),
    where: FILE,
    message: /RMSNormalisation.*expected a model that ONNX Runtime runs/s,
    source: true,
  },
};

describe.each(Object.entries({ ...DAMAGES, ...RUN_DAMAGES }))(
  "%s",
  (_, { damage, where, message, source, checksums = false }) => {
    test("is caught, and named", async () => {
      const folder = join(await temporaryFolder(), "output");
      await cp(exported(), folder, { recursive: true });
      if (!checksums) for (const part of [folder, join(folder, "onnx")]) await rm(join(part, CHECKSUMS_FILE));
      await damage(folder);
      const { problems } = await verify({ model: folder, source: source ? checkpoint() : undefined });
      const named = problems.filter((one) => (typeof where === "string" ? one.where === where : where.test(one.where)));
      expect(named.map((one) => one.message).join("\n"), JSON.stringify(problems, null, 2)).toMatch(message);
    });
  },
);

test.each(["fp32", "fp16", "q8", "q4", "q4f16"])("%s: nothing is wrong with what was not damaged", async (dtype) => {
  const output = join(await temporaryFolder(), "onnx");
  await exportModel({ model: LLAMA, format: ["onnx"], dtype: [dtype], output });
  const { problems, notes, comparisons } = await verify({ model: output, source: LLAMA, threads: 1 });
  expect([problems, notes]).toEqual([[], []]);
  const [{ weights, subgraphs, logits }] = comparisons;
  expect([weights.length > 28, subgraphs.length, logits.tokens > 100]).toEqual([true, 5, true]);
  const isDense = dtype === "fp32" || dtype === "fp16";
  expect(logits.klDivergence).toBeLessThan(isDense ? 1e-4 : 0.3);
  expect(logits.top1Agreement).toBeGreaterThan(isDense ? 0.99 : 0.8);
});

test("what was exported of a compressed checkpoint has its weights", async () => {
  const { problems, tensors, compressed, comparisons } = await verify({ model: exported(), source: checkpoint() });
  expect(problems).toEqual([]);
  expect(comparisons.map(({ file }) => file)).toEqual([FILE]);
  const { klDivergence, top1Agreement } = comparisons[0].logits; // readers of the checkpoint round to bfloat16 once more
  expect([klDivergence < 1e-3, top1Agreement > 0.99]).toEqual([true, true]);
  expect([tensors > compressed, compressed]).toEqual([true, 28]);
});

test.each(["gpt2"])("%s in 8 bits: ONNX Runtime gives the logits of what was written", async (name) => {
  const model = fileURLToPath(new URL(`fixtures/models/${name}`, import.meta.url));
  const output = join(await temporaryFolder(), "onnx");
  await exportModel({ model, format: ["onnx"], dtype: ["q8"], output });
  const { problems, comparisons } = await verify({ model: output, source: model, threads: 1 });
  expect([problems, comparisons.length]).toEqual([[], 1]);
});
