import { dirname } from "node:path";
import { downloadFileToCacheDir, listFiles, modelInfo } from "@huggingface/hub";
import { CheckpointError } from "../errors.ts";

/** Which file of how many is being brought. */
export interface DownloadProgress {
  readonly file: string;
  /** Its place among the files, from 1. */
  readonly number: number;
  readonly total: number;
}

/** Which snapshot is wanted, and who is told of its progress. */
interface SnapshotOptions {
  /** A branch, tag or commit. */
  readonly revision: string;
  /** Called before each file. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Where files are kept, if not in the cache that all of Hugging Face's libraries share. */
  readonly cacheDir?: string;
  readonly fetch?: typeof fetch;
}

/** What a checkpoint consists of; weights in other formats stay where they are. */
const MODEL_FILE = /^[^/\\]+\.(json|safetensors|jinja|txt)$|^tokenizer\.model$/;

/** What a snapshot's folder is named for. */
const COMMIT = /^[0-9a-f]{40,64}$/;

/** Brings the checkpoint's files of a Hub repository, those at its top, into the cache. @returns their folder */
export async function downloadSnapshot(name: string, options: SnapshotOptions): Promise<string> {
  const { onProgress, revision, ...transport } = options;
  const hub = { ...transport, accessToken: process.env.HF_TOKEN };
  const { sha } = await modelInfo({ ...hub, name, revision, additionalFields: ["sha"] });
  if (!COMMIT.test(sha)) {
    throw new CheckpointError(
      `${name}: the Hub says its commit is ${JSON.stringify(sha)}, expected a hash. Check HF_ENDPOINT.`,
    );
  }
  const commit = { ...hub, repo: { type: "model", name }, revision: sha } as const;

  const files: string[] = [];
  for await (const { type, path } of listFiles(commit)) if (type === "file" && MODEL_FILE.test(path)) files.push(path);
  if (files.length === 0) throw new CheckpointError(`${name}: no model files, expected a checkpoint. Check the name.`);

  let folder = "";
  for (const [index, file] of files.entries()) {
    onProgress?.({ file, number: index + 1, total: files.length });
    folder = dirname(await downloadFileToCacheDir({ ...commit, path: file }));
  }
  return folder;
}
