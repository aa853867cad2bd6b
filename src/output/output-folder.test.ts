import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError, CompressionError, InterruptedError } from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type Output, type OutputOptions, openOutput } from "./output.ts";

const values = new Tensor("U8", [3], Uint8Array.of(1, 2, 3));
const [a, b] = ["a", "b"].map((name) => ({ name, dtype: "U8", shape: [3] }) as const);

const newFolder = async () => join(await temporaryFolder(), "output");
const siblings = (folder: string) => readdir(join(folder, ".."));

/** An output of which tensor `a` is written and noted down. */
async function begun(options: Omit<OutputOptions, "tensors">): Promise<Output> {
  const output = await openOutput({ ...options, tensors: [a, b] });
  const digest = await output.write("a", values);
  await output.sync();
  await output.folder.append([["a", digest]]);
  return output;
}

/** Goes on with it; takes what was noted down. */
async function resumed(options: Omit<OutputOptions, "tensors">): Promise<{ output: Output; trusted: boolean[] }> {
  const output = await openOutput({ ...options, tensors: [a, b], resume: true });
  const trusted: boolean[] = [];
  if (await output.isMoved()) return { output, trusted };
  for (const record of output.folder.records) trusted.push(await output.trust(record as [string, string][]));
  return { output, trusted };
}

/** All written, noted down as complete, but not moved, since the place is taken. */
async function complete(folder: string, overwrite = false): Promise<void> {
  const output = await begun({ folder, overwrite: false });
  await output.write("b", values);
  await mkdir(folder);
  await writeFile(join(folder, "mine"), "");
  const failure = await output.finish().catch((error) => error);
  expect(await output.abandon(failure)).toBeInstanceOf(InterruptedError);
  if (!overwrite) await rm(folder, { recursive: true });
}

test("tensors that were noted down are written, others are not", async () => {
  const folder = await newFolder();
  await (await begun({ folder })).abandon(new Error("stopped"));
  const { output, trusted } = await resumed({ folder });
  expect([trusted, output.has("a"), output.has("b")]).toEqual([[true], true, false]);
  expect(await output.read("a")).toEqual(values);
  await expect(output.read("b")).rejects.toThrow("b: not written yet, expected a tensor that is.");
  await expect(output.write("a", values)).rejects.toThrow("a: written twice, expected each tensor once.");
  await output.write("b", values);
  await output.finish();
  expect(await siblings(folder)).toEqual(["output"]);
});

test("tensors are trusted all together or not at all", async () => {
  const output = await begun({ folder: await newFolder() });
  const digest = await output.write("b", values);
  const other = await openOutput({ folder: await newFolder(), tensors: [a, b] });
  await other.write("a", values);
  for (const digests of [
    [
      ["a", digest],
      ["b", digest],
    ],
    [["c", digest]],
  ] as const)
    expect(await other.trust(digests)).toBe(false);
  expect(other.has("b")).toBe(false);
  for (const each of [output, other]) await each.abandon(new CompressionError("stopped"));
});

test("files that are no part of the weights are not taken over", async () => {
  const folder = await newFolder();
  const output = await begun({ folder });
  await output.writeText("config.json", "{}");
  await output.abandon(new Error("stopped"));
  const { output: again } = await resumed({ folder });
  expect(await readdir(again.folder.content)).toEqual(["model.safetensors"]);
  await again.abandon(undefined);
});

test("an output that was stopped before it was moved is moved", async () => {
  const folder = await newFolder();
  await complete(folder);
  const { output, trusted } = await resumed({ folder });
  expect([trusted, await output.isMoved()]).toEqual([[true], false]);
  await output.write("b", values);
  await output.finish();
  expect(await siblings(folder)).toEqual(["output"]);
});

test("an output that was stopped after it was moved is only cleaned up behind, with what it replaced", async () => {
  const folder = await newFolder();
  await complete(folder, true);
  await rename(folder, `${folder}.replaced`);
  await rename(join(`${folder}.partial`, "output"), folder);
  const { output } = await resumed({ folder, overwrite: true });
  expect(await output.isMoved()).toBe(true);
  await output.finish();
  expect(await siblings(folder)).toEqual(["output"]);
  expect(await readdir(folder)).toEqual(["checksums.json", "model.safetensors"]);
});

test("an output that was stopped between moving the old one aside and moving in keeps one of the two whole", async () => {
  const folder = await newFolder();
  await complete(folder, true);
  await rename(folder, `${folder}.replaced`);
  const { output } = await resumed({ folder, overwrite: true });
  await output.write("b", values);
  await output.finish();
  expect(await siblings(folder)).toEqual(["output"]);
});

test("what is left of a run stays where its place is taken meanwhile", async () => {
  const folder = await newFolder();
  await (await begun({ folder })).abandon(new Error("stopped"));
  await mkdir(folder);
  await writeFile(join(folder, "mine"), "");
  await expect(resumed({ folder })).rejects.toThrow(
    new CheckpointError(
      `${folder}: exists already, expected a new or empty folder. Choose another output, or pass --overwrite.`,
    ),
  );
  expect((await siblings(folder)).sort()).toEqual(["output", "output.partial"]);
});

test("numbers that would be met again leave nothing, and ending twice changes nothing", async () => {
  const folder = await newFolder();
  const output = await begun({ folder });
  const failure = new CompressionError("a: not finite.");
  expect(await output.abandon(failure)).toBe(failure);
  expect(await siblings(folder)).toEqual([]);
  const next = await begun({ folder });
  expect(await output.abandon(failure)).toBe(failure);
  await next.write("b", values);
  await next.finish();
  expect(await siblings(folder)).toEqual(["output"]);
});
