import { readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { CheckpointError } from "../errors.ts";

/** Bytes of the largest file that is read whole; the tokenizer of 256,000 words takes 35 MB. */
const LARGEST = 100_000_000;

/**
 * Checks that a file of a checkpoint may be opened: a regular file, links followed, that lies in its folder. In the Hub's
 * cache it may lie in `blobs` of the same repository too: there a snapshot consists of links.
 *
 * @throws CheckpointError for a device, a pipe or a link to somewhere else; what the file system throws where there is none
 */
export async function checkFile(path: string): Promise<void> {
  if (!(await stat(path)).isFile()) {
    throw new CheckpointError(`${path}: not a regular file, expected one. Put the file itself there.`);
  }
  const [folder, target] = await Promise.all([realpath(dirname(path)), realpath(path)]);
  if (placesOf(folder).some((place) => target.startsWith(place.endsWith(sep) ? place : place + sep))) return;
  throw new CheckpointError(`${path}: a link to ${target}, expected a file in the same folder. Copy the file there.`);
}

/** The bytes of a small file that {@link checkFile} lets pass. @throws CheckpointError for one too large, or as there */
export async function readContained(path: string): Promise<Buffer> {
  await checkFile(path);
  const { size } = await stat(path);
  if (size > LARGEST) {
    throw new CheckpointError(`${path}: ${size} bytes, expected at most ${LARGEST}. Get the file again.`);
  }
  return readFile(path);
}

/** Where the files of a checkpoint's folder may lie. */
function placesOf(folder: string): string[] {
  const snapshots = dirname(folder);
  return basename(snapshots) === "snapshots" ? [folder, join(dirname(snapshots), "blobs")] : [folder];
}
