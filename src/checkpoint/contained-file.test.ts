import { execFileSync } from "node:child_process";
import { mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { readContained } from "./contained-file.ts";

const read = async (file: string) => String(await readContained(file));

test("a file is read, and a link to one in the same folder, and through a folder that is a link", async () => {
  const folder = await temporaryFolder({ "a.json": "a" });
  await symlink("a.json", join(folder, "b.json"));
  await mkdir(join(folder, "links"));
  await symlink(folder, join(folder, "links", "model"));
  expect(await read(join(folder, "a.json"))).toBe("a");
  expect(await read(join(folder, "b.json"))).toBe("a");
  expect(await read(join(folder, "links", "model", "b.json"))).toBe("a");
});

test("in a snapshot of the Hub's cache, links to the blobs of the same repository are followed, others are not", async () => {
  const cache = await temporaryFolder();
  for (const name of ["mine", "other"]) await mkdir(join(cache, name, "blobs"), { recursive: true });
  await mkdir(join(cache, "mine", "snapshots", "main"), { recursive: true });
  for (const name of ["mine", "other"]) {
    await writeFile(join(cache, name, "blobs", "b"), name);
    await symlink(`../../../${name}/blobs/b`, join(cache, "mine", "snapshots", "main", name));
  }
  const snapshot = join(cache, "mine", "snapshots", "main");
  expect(await read(join(snapshot, "mine"))).toBe("mine");
  await expect(read(join(snapshot, "other"))).rejects.toThrow(
    new CheckpointError(
      `${snapshot}/other: a link to ${cache}/other/blobs/b, expected a file in the same folder. Copy the file there.`,
    ),
  );
});

test("a link to a folder whose name only begins alike is refused", async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "model"));
  await mkdir(join(folder, "model-private"));
  await writeFile(join(folder, "model-private", "a"), "secret");
  await symlink("../model-private/a", join(folder, "model", "a"));
  await expect(read(join(folder, "model", "a"))).rejects.toThrow(CheckpointError);
});

test("pipes, devices and folders are refused without being opened", async () => {
  const folder = await temporaryFolder();
  execFileSync("mkfifo", [join(folder, "pipe")]);
  await symlink("/dev/zero", join(folder, "device"));
  await mkdir(join(folder, "folder"));
  for (const name of ["pipe", "device", "folder"]) {
    await expect(read(join(folder, name))).rejects.toThrow(
      new CheckpointError(`${folder}/${name}: not a regular file, expected one. Put the file itself there.`),
    );
  }
});

test("a file of more than 100 MB is not read", async () => {
  const folder = await temporaryFolder({ "a.json": "{}" });
  await truncate(join(folder, "a.json"), 100_000_001); // takes no room on disk
  await expect(read(join(folder, "a.json"))).rejects.toThrow(
    new CheckpointError(`${folder}/a.json: 100000001 bytes, expected at most 100000000. Get the file again.`),
  );
});

test("a file that is not there is the file system's own error", async () => {
  await expect(read(join(await temporaryFolder(), "a"))).rejects.toMatchObject({ code: "ENOENT" });
});
