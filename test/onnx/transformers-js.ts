import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** What transformers.js is asked for: see transformers-js.mjs. */
interface Request {
  readonly folder: string;
  /** The type of the weights; the folder's own default where it is left out. */
  readonly dtype?: string;
  readonly prompt?: readonly number[];
  readonly newTokens?: number;
  readonly windows?: readonly (readonly number[])[];
}

/** Loads an exported folder with transformers.js, generates greedily and measures the loss on windows of tokens. */
export async function runTransformersJs(request: Request): Promise<{ tokens: number[]; loss: number }> {
  const script = fileURLToPath(new URL("transformers-js.mjs", import.meta.url));
  const options = { maxBuffer: 2 ** 26 };
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(request)], options);
  return JSON.parse(stdout);
}
