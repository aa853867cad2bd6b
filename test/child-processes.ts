import { readdirSync, readFileSync } from "node:fs";

/** Processes that a process has started and that live, as Linux tells it. */
export function childProcesses(parent: number): number[] {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return processes.filter((pid) => parentOf(pid) === parent).map(Number);
}

/** Undefined for a process that is gone, or dead and only not yet collected. */
function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // proc_pid_stat(5), from its third field on
    return state === "Z" ? undefined : Number(parent);
  } catch {
    return undefined;
  }
}
