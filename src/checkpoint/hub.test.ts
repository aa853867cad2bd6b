import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { resolveModel } from "./hub.ts";

const refuse = () => Promise.reject(new Error("nothing is to be downloaded"));

test("a folder is its own answer", async () => {
  const folder = await temporaryFolder();
  expect(await resolveModel(folder, { download: refuse })).toBe(folder);
});

test("a Hub id is downloaded, its main branch unless told", async () => {
  const download = vi.fn(async (name: string) => `/cache/${name}`);
  const onProgress = () => {};
  expect(await resolveModel("no-such-org/name-1.5", { download, onProgress })).toBe("/cache/no-such-org/name-1.5");
  await resolveModel("no-such-org/name", { download, revision: "v2" });
  expect(download.mock.calls).toEqual([
    ["no-such-org/name-1.5", { revision: "main", onProgress }],
    ["no-such-org/name", { revision: "v2", onProgress: undefined }],
  ]);
});

test.each(["./model", "../model", "/no/such/model", "a/b/c", "no-such-model", "", "org/", "~/model"])(
  "%j is neither a folder nor a Hub id",
  async (model) => {
    await expect(resolveModel(model, { download: refuse })).rejects.toThrow(
      new CheckpointError(
        `${model}: no such folder, expected a checkpoint's folder or a Hub id like organisation/name. Check the path.`,
      ),
    );
  },
);

test("a file is refused", async () => {
  const file = join(await temporaryFolder(), "model.safetensors");
  await writeFile(file, "");
  await expect(resolveModel(file, { download: refuse })).rejects.toThrow(
    new CheckpointError(
      `${file}: a file, expected a checkpoint's folder or a GGUF file. Name the folder that it is in.`,
    ),
  );
});

test("a download that fails says what was looked for", async () => {
  const cause = new Error("Repository not found");
  const error = await resolveModel("no-such-org/name", { download: () => Promise.reject(cause) }).catch(
    (error) => error,
  );
  expect(error).toEqual(
    new CheckpointError(
      "no-such-org/name: no such folder, and no download of no-such-org/name at main from the Hub (Repository not found), expected one of them. Check the name and the network.",
      { cause },
    ),
  );
  expect(error.cause).toBe(cause);
});

test("an error of layerwise passes as it is", async () => {
  const error = new CheckpointError("no-such-org/name: no model files");
  await expect(resolveModel("no-such-org/name", { download: () => Promise.reject(error) })).rejects.toBe(error);
});
