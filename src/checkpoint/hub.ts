import { stat } from "node:fs/promises";
import { snapshotDownload } from "@huggingface/hub";
import { CheckpointError } from "../errors.ts";

/** How a repository is brought to disk; returns its folder. */
export type Download = (repo: string, revision: string) => Promise<string>;

/** `organisation/name`, as the Hub spells its models. */
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/**
 * The folder of a model: `model` itself if it is one, else a download of the Hub repository of that id, kept in the usual
 * cache.
 *
 * @throws CheckpointError if it is neither
 */
export async function resolveModel(
  model: string,
  { revision = "main", download = downloadSnapshot }: { revision?: string; download?: Download } = {},
): Promise<string> {
  const isFolder = await stat(model).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (isFolder) return model;
  if (!HUB_ID.test(model)) {
    throw new CheckpointError(
      `${model}: no such folder, expected a checkpoint's folder or a Hub id like organisation/name.`,
    );
  }
  return download(model, revision).catch((cause) => {
    throw new CheckpointError(
      `${model}: no such folder, and the Hub could not give it: ${cause}. Check the name and the network.`,
      {
        cause,
      },
    );
  });
}

function downloadSnapshot(repo: string, revision: string): Promise<string> {
  return snapshotDownload({ repo: { type: "model", name: repo }, revision, accessToken: process.env.HF_TOKEN });
}
