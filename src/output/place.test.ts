import { mkdir, realpath, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { checkPlace } from "./place.ts";

/** A folder `parent/model` with a file in it. */
async function newModel(): Promise<{ parent: string; model: string; file: string }> {
  const parent = join(await temporaryFolder(), "parent");
  const model = join(parent, "model");
  await mkdir(model, { recursive: true });
  const file = join(model, "model.gguf");
  await writeFile(file, "weights");
  return { parent, model, file };
}

const refusal = (path: string, kept: string) =>
  new CheckpointError(
    `${path}: to replace it would delete ${kept}, expected a folder apart from that. Choose another output.`,
  );

test("the model's own folder, and one that the model lies in, are not overwritten", async () => {
  const { parent, model, file } = await newModel();
  for (const [path, source] of [
    [model, model],
    [model, file],
    [parent, model],
  ])
    await expect(checkPlace(path, { overwrite: true, source })).rejects.toThrow(refusal(path, source));
});

test("a model that is reached through a link is not overwritten", async () => {
  const { parent, model } = await newModel();
  const link = join(await temporaryFolder(), "link");
  await symlink(parent, link);
  const linked = join(link, "model");
  await expect(checkPlace(model, { overwrite: true, source: linked })).rejects.toThrow(refusal(model, linked));
  await expect(checkPlace(linked, { overwrite: true, source: model })).rejects.toThrow(refusal(linked, model));
  await checkPlace(link, { overwrite: true, source: model }); // the link alone is replaced
});

test("folders below and beside the model are overwritten, whatever the model is called", async () => {
  const { parent, model } = await newModel();
  for (const path of [join(model, "..out"), join(parent, "model-W4A16"), join(parent, "other")]) {
    await mkdir(path);
    await writeFile(join(path, "old"), "");
    await checkPlace(path, { overwrite: true, source: model });
    await checkPlace(path, { overwrite: true, source: "organisation/name" });
  }
});

test("the working directory is not overwritten, nor what it lies in", async () => {
  for (const path of [process.cwd(), dirname(process.cwd())])
    await expect(checkPlace(path, { overwrite: true })).rejects.toThrow(refusal(path, process.cwd()));
});

test("the working directory is no place for an output, even where it is empty", async () => {
  const [before, folder] = [process.cwd(), await realpath(await temporaryFolder())];
  process.chdir(folder);
  try {
    await expect(checkPlace(folder, {})).rejects.toThrow(refusal(folder, folder));
  } finally {
    process.chdir(before);
  }
});

test("a file is not overwritten", async () => {
  const { file } = await newModel();
  await expect(checkPlace(file, { overwrite: true })).rejects.toThrow(
    new CheckpointError(`${file}: a file, expected a folder or nothing. Choose another output.`),
  );
});
