import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.ts";
import { DOCUMENTS } from "./transcript.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const run = promisify(execFile);

const CONSUMER = `import { oneshot, type OneshotOptions, traceSubgraphs } from "layerwise";
const options: OneshotOptions = { model: "a", recipe: "b", output: "c" };
export const compress = (): Promise<void> => oneshot(options);
export const trace: typeof traceSubgraphs = traceSubgraphs;
`;

test("the packed package installs and runs in an empty folder, and has types", async () => {
  const folder = await temporaryFolder();
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: here("..") });
  const [{ filename, files }] = JSON.parse(stdout);
  const outside = files.map(({ path }: { path: string }) => path).filter((path: string) => !path.startsWith("dist/"));
  expect(outside.sort()).toEqual(["CHANGELOG.md", "LICENSE", "package.json", ...DOCUMENTS].sort());

  const app = join(folder, "app");
  await mkdir(app);
  await writeFile(join(app, "package.json"), JSON.stringify({ name: "app", type: "module" }));
  // Without this, ONNX Runtime's installer fetches libraries for a GPU.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" };
  await run("npm", ["install", "--no-audit", "--prefer-offline", join(folder, filename)], { cwd: app, env });
  const layerwise = (...args: string[]) => run(join(app, "node_modules/.bin/layerwise"), args, { cwd: app });
  expect((await layerwise("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  const model = here("../examples/moby-tiny");
  expect((await layerwise("trace", model)).stdout).toContain("5 subgraphs");
  const data = ["--dataset", here("../examples/calibration.jsonl"), "--num-calibration-samples", "2"];
  const recipe = ["--recipe", here("../examples/gptq-w4a16.yaml"), "--max-seq-length", "32", "--output", "compressed"];
  expect((await layerwise("compress", model, ...data, ...recipe)).stderr).toContain("compressed: 2.7 MB");

  await writeFile(join(app, "consumer.ts"), CONSUMER);
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "consumer.ts"];
  await run(here("../node_modules/.bin/tsc"), options, { cwd: app });
  const types = await readFile(join(app, "node_modules/layerwise/dist/index.d.ts"), "utf8");
  expect(types.replace(/\/\*[\s\S]*?\*\//g, "")).not.toMatch(/\bany\b/);
}, 180_000);
