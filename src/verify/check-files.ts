import { CHECKSUMS_FILE, type Checksums, digestSmallFile } from "../output/checksums.ts";
import { GET_AGAIN, type Problem, problem } from "./problem.ts";

/** Compares the files beside the weights with what they were when they were written. */
export async function checkFiles(folder: string, { files }: Checksums): Promise<Problem[]> {
  const problems: Problem[] = [];
  const advice = `${GET_AGAIN} If the change was meant, delete ${CHECKSUMS_FILE}.`;
  for (const [name, digest] of files) {
    const found = await digestSmallFile(folder, name);
    if (found === digest) continue;
    const state = found === undefined ? "not there" : "not what it was when it was written";
    problems.push(problem(name, state, `the file that ${CHECKSUMS_FILE} tells of`, advice));
  }
  return problems;
}
