import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { readContained } from "./contained-file.ts";
import { type DownloadProgress, downloadSnapshot } from "./snapshot.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const wanted = ["chat_template.jinja", "config.json", "merges.txt", "model.safetensors", "tokenizer.model"];
const unwanted = [
  "../config.json",
  "..\\config.json",
  ".gitattributes",
  "README.md",
  "pytorch_model.bin",
  "model.gguf",
  "modeling.py",
  "spiece.model",
];

test("the checkpoint's files are brought into the cache, and no others", async () => {
  vi.spyOn(console, "debug").mockReturnValue(); // the library prints there
  const cacheDir = await temporaryFolder();
  const seen: DownloadProgress[] = [];
  const folder = await downloadSnapshot("org/name", {
    revision: "main",
    cacheDir,
    fetch: fakeHub([...unwanted, ...wanted]),
    onProgress: (progress) => seen.push(progress),
  });
  expect(basename(folder)).toBe(COMMIT);
  expect((await readdir(folder)).sort()).toEqual(wanted);
  expect(String(await readContained(join(folder, "config.json")))).toBe("content of config.json");
  expect(seen).toEqual(wanted.map((file, index) => ({ file, number: index + 1, total: 5 })));
});

test("a commit that is no hash, and would name another folder, is refused", async () => {
  const fetch: typeof globalThis.fetch = async () => Response.json({ sha: "../../x" });
  await expect(downloadSnapshot("org/name", { revision: "main", fetch })).rejects.toThrow(
    new CheckpointError('org/name: the Hub says its commit is "../../x", expected a hash. Check HF_ENDPOINT.'),
  );
});

test("a repository without a checkpoint is refused", async () => {
  const download = downloadSnapshot("org/name", { revision: "main", fetch: fakeHub(unwanted) });
  await expect(download).rejects.toThrow(
    new CheckpointError("org/name: no model files, expected a checkpoint. Check the name."),
  );
});

/** Answers as the Hub does for one repository, `org/name`, with these files and a folder. */
function fakeHub(files: readonly string[]): typeof fetch {
  return async (input, init) => {
    const { pathname } = new URL(String(input));
    if (pathname === "/api/models/org/name/revision/main") return Response.json({ sha: COMMIT });
    if (pathname === `/api/models/org/name/tree/${COMMIT}`) {
      return Response.json([{ type: "directory", path: "original" }, ...files.map(describe)]);
    }
    if (pathname === `/api/models/org/name/paths-info/${COMMIT}`) {
      const { paths } = JSON.parse(String(init?.body)) as { paths: string[] };
      return Response.json(paths.map(describe));
    }
    const file = files.find((name) => pathname === `/org/name/resolve/${COMMIT}/${name}`);
    return file ? sendFile(`content of ${file}`, new Headers(init?.headers)) : new Response(null, { status: 404 });
  };
}

function describe(path: string): object {
  return { type: "file", path, oid: `oid-${path}`, size: path.length };
}

function sendFile(content: string, request: Headers): Response {
  const isProbe = request.get("Range") === "bytes=0-0";
  const headers = { ETag: '"etag"', "Content-Range": `bytes 0-0/${content.length}` };
  return new Response(isProbe ? content[0] : content, { status: isProbe ? 206 : 200, headers });
}
