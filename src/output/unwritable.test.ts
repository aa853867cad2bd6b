import { mkdir, readdir, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { openOutput } from "./output.ts";
import { createFolder, writing } from "./write-at.ts";

const tensors = [{ name: "a", dtype: "U8", shape: [1] }] as const;

describe("an output that the system lets nobody write", () => {
  const places: [what: string, path: (folder: string) => string, reason: RegExp, advice: string][] = [
    ["below a file", (folder) => join(folder, "file", "output"), /ENOTDIR/, "Choose another output."],
    [
      "with a name that is too long",
      (folder) => join(folder, "x".repeat(300)),
      /ENAMETOOLONG/,
      "Choose a shorter name.",
    ],
    ["with NUL in its path", (folder) => join(folder, "a\0b"), /null bytes/, "Choose another output."],
    ["below links in a circle", (folder) => join(folder, "circle", "output"), /ELOOP/, "Choose another output."],
    ["in /proc", () => "/proc/output", /ENOENT/, "Choose another output."],
    ["in a process's folder", () => "/proc/self/above/output", /ENOENT/, "Choose another output."],
    ["in /sys", () => "/sys/output", /EPERM|EACCES|EROFS/, "another output."],
    ["below a device", () => "/dev/null/output", /ENOTDIR/, "Choose another output."],
  ];

  test.each(places)(
    "%s is an error that says why and what to do, and leaves nothing",
    async (_, path, reason, advice) => {
      const folder = await temporaryFolder({ file: "" });
      await symlink("circle", join(folder, "circle"));
      const output = path(folder);
      const error: Error = await openOutput({ folder: output, tensors }).then(
        () => new Error("was opened"),
        (failure) => failure,
      );
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error.message.startsWith(`${output}: cannot be written (`), error.message).toBe(true);
      expect(error.message).toMatch(reason);
      expect(error.message.endsWith(advice), error.message).toBe(true);
      expect((await readdir(folder)).sort()).toEqual(["circle", "file"]);
    },
  );

  test("without a path is refused", async () => {
    await expect(openOutput({ folder: "", tensors })).rejects.toThrow(
      new CheckpointError("output: no path, expected one of a folder to come. Name one."),
    );
  });

  test.each(["nowhere", "empty"])("that is a link to %s is refused before any work", async (target) => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "empty"));
    await symlink(target, join(folder, "output"));
    await expect(openOutput({ folder: join(folder, "output"), tensors })).rejects.toThrow(/exists already/);
    expect((await readdir(folder)).sort()).toEqual(["empty", "output"]);
  });
});

test("a failure that nothing can be cleaned up after is still the one that is told", async () => {
  const folder = join(await temporaryFolder(), "output");
  const output = await openOutput({ folder, tensors });
  await rename(`${folder}.partial`, `${folder}.away`);
  const failure = new Error("the first failure");
  expect(await output.abandon(failure)).toBe(failure);
});

test.each([
  ["ENOSPC", "Make room."],
  ["EDQUOT", "Make room."],
  ["EACCES", "Get the right to write there, or choose another output."],
  ["EROFS", "Choose another output."],
])("what to do about %s: %s", async (code, advice) => {
  const refused = Promise.reject(Object.assign(new Error(`${code}: refused`), { code }));
  await expect(writing("out", refused)).rejects.toThrow(
    new CheckpointError(`out: cannot be written (${code}: refused), expected room and the right to. ${advice}`),
  );
});

test("a folder is created with those above it, also by several at once, and never in place of a file", async () => {
  const folder = await temporaryFolder({ file: "" });
  await Promise.all([1, 2, 3].map(() => createFolder(join(folder, "a", "b", "c"))));
  await createFolder(join(folder, "a", "b"));
  expect(await readdir(join(folder, "a", "b"))).toEqual(["c"]);
  await expect(createFolder(join(folder, "file"))).rejects.toThrow(/EEXIST/);
});
