import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { VerificationError } from "../src/errors.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import type { QuantizationOptions } from "../src/modifiers/quantization-options.ts";
import { oneshot } from "../src/oneshot.ts";
import { CHECKSUMS_FILE } from "../src/output/checksums.ts";
import { writeTensorFile } from "../src/output/tensor-file.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { type Damage, testDamages } from "./damage.ts";
import { readSafetensors } from "./read-safetensors.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
export const [LLAMA, EXPERTS] = [here("../examples/moby-tiny"), here("./fixtures/models/mixtral")];

/** What each of the checkpoints that get damaged is made of, and how. */
export const BASES = {
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

/** A name of one. */
export type Base = keyof typeof BASES;

/** A kind of damage to one of them. */
export interface CheckpointDamage extends Damage {
  readonly base: Base;
}

/** Makes some of them before the tests of a file, and deletes them after these; returns where each lies by then. */
export function makeBases(names: readonly Base[]): (name: Base) => string {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "layerwise-"));
    for (const name of names) {
      const { model, scheme: weights, inputs: inputActivations, ...options } = { inputs: undefined, ...BASES[name] };
      const group = { targets: ["Linear"], weights, inputActivations };
      const recipe = new QuantizationModifier({ ignore: ["lm_head"], configGroups: { group } } as QuantizationOptions);
      await oneshot({ model, recipe, threads: 1, ...options, output: join(root, name) });
    }
  }, 300_000);
  afterAll(() => rm(root, { recursive: true, force: true }));
  return (name) => join(root, name);
}

/** One test for each kind of damage to a checkpoint. */
export function testCheckpointDamages(damages: Readonly<Record<string, CheckpointDamage>>): void {
  const folderOf = makeBases([...new Set(Object.values(damages).map(({ base }) => base))]);
  testDamages(
    damages,
    ({ base }) => ({ folder: folderOf(base), source: BASES[base].model }),
    (folder) => rm(join(folder, CHECKSUMS_FILE)),
  );
}

type Tensors = Map<string, Tensor>;

/** Rewrites the weights of a folder, which lie in one file. */
export async function edit(folder: string, change: (tensors: Tensors) => void): Promise<void> {
  const file = join(folder, "model.safetensors");
  const copies = [...readSafetensors(file)].map(
    ([name, { dtype, shape, data }]) => [name, new Tensor(dtype, shape, data.slice() as never)] as const,
  );
  const tensors: Tensors = new Map(copies);
  change(tensors);
  await writeTensorFile(file, tensors);
}

/** The tensor of this name. */
export function get(tensors: Tensors, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new VerificationError(`${name}: not in the file, expected it there.`);
  return tensor;
}
