import { CHECKSUMS_FILE, type Checksums, digestSmallFiles } from "../output/checksums.ts";
import { GET_AGAIN, type Problem, problem } from "./problem.ts";

/** Compares the files beside the weights with what they were when they were written. */
export async function checkFiles(folder: string, { files }: Checksums): Promise<Problem[]> {
  const found = await digestSmallFiles(folder);
  const advice = `${GET_AGAIN} If the change was meant, delete ${CHECKSUMS_FILE}.`;
  return [...files].flatMap(([name, digest]) => {
    if (found.get(name) === digest) return [];
    const state = found.has(name) ? "not what it was when it was written" : "not there";
    return [problem(name, state, `the file that ${CHECKSUMS_FILE} tells of`, advice)];
  });
}
