import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** What lets a page share memory between threads. */
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/**
 * Serves the page, the model in `folder`, and transformers.js and ONNX Runtime from the installed packages, on this machine
 * alone. Port 0 takes any that is free; one that is taken is an error.
 */
export async function serveExample(folder: string, { port = 0 } = {}): Promise<{ url: string; server: Server }> {
  const roots = [
    ["/models/moby-tiny/", folder],
    ["/transformers/", here("../../node_modules/@huggingface/transformers/dist")],
    ["/onnxruntime/", here("../../node_modules/onnxruntime-web/dist")],
    ["/", here(".")],
  ] as const;
  const server = createServer(async ({ url = "/" }, response) => {
    const path = decodeURIComponent(new URL(url, "http://localhost").pathname);
    const [prefix, root] = roots.find(([start]) => path.startsWith(start)) as (typeof roots)[number];
    const file = normalize(join(root, path.slice(prefix.length) || "index.html"));
    const found = file.startsWith(root) ? await stat(file).catch(() => undefined) : undefined;
    if (!found?.isFile()) {
      response.writeHead(404, ISOLATION).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...ISOLATION, "Content-Type": type, "Content-Length": found.size });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve, reject) => server.on("error", reject).listen(port, "localhost", resolve));
  return { url: `http://localhost:${(server.address() as AddressInfo).port}/`, server };
}
