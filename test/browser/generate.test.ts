import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serveExample } from "../../examples/browser/server.ts";
import { loadTokenizer } from "../../src/data/tokenizer.ts";
import { exportModel } from "../../src/export/export-model.ts";
import { runTransformersJs } from "../onnx/transformers-js.ts";

const model = fileURLToPath(new URL("../../examples/moby-tiny", import.meta.url));
const [prompt, newTokens] = ["Call me Ishmael. The whale", 16];

let folder: string;
let example: Awaited<ReturnType<typeof serveExample>>;
let browser: Browser;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-browser-"));
  const output = join(folder, "moby-tiny");
  await exportModel({ model, format: ["onnx"], dtype: ["q4"], output });
  example = await serveExample(output);
  const args = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
});

afterAll(async () => {
  await browser?.close();
  example?.server.close();
  await rm(folder, { recursive: true, force: true });
});

test("the page generates what transformers.js does in Node, and asks nobody but its server", async () => {
  const { page, requests } = await open();
  expect(await generate(page, "wasm")).toEqual(await tokensInNode());
  expect(requests.filter((url) => !url.startsWith(example.url) && !url.startsWith("blob:"))).toEqual([]);
});

test("the page offers WebGPU where there is an adapter, and there it generates the same", async () => {
  const { page } = await open();
  const hasAdapter = await page.evaluate("navigator.gpu?.requestAdapter().then(Boolean) ?? false");
  const devices = await page
    .locator("select[name=device] option")
    .evaluateAll((options) => options.map((option) => option.getAttribute("value")));
  expect(devices).toEqual(hasAdapter ? ["wasm", "webgpu"] : ["wasm"]);
  if (hasAdapter) expect(await generate(page, "webgpu")).toEqual(await tokensInNode());
});

async function open(): Promise<{ page: Page; requests: string[] }> {
  const page = await browser.newPage();
  const requests: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(example.url);
  await page.locator("#status", { hasText: "ready" }).waitFor();
  return { page, requests };
}

/** Fills the form as a person does; gives the tokens, prompt and all. */
async function generate(page: Page, device: string): Promise<number[]> {
  await page.locator("textarea").fill(prompt);
  await page.locator("select").selectOption(device);
  await page.locator("input[name=tokens]").fill(String(newTokens));
  await page.locator("button").click();
  const status = page.locator("#status", { hasText: /done|failed/ });
  await status.waitFor({ timeout: 240_000 });
  expect(await status.textContent()).toMatch(/^done/);
  return ((await page.locator("output").getAttribute("data-tokens")) ?? "").split(" ").map(Number);
}

async function tokensInNode(): Promise<number[]> {
  const tokens = (await loadTokenizer(model)).encode(prompt, { addSpecialTokens: true });
  return (await runTransformersJs({ folder: join(folder, "moby-tiny"), prompt: tokens, newTokens })).tokens;
}
