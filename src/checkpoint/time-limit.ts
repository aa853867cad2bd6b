import { createContext, Script } from "node:vm";
import { CheckpointError, type LayerwiseError } from "../errors.ts";

/** What {@link timeLimited} may be told. */
interface TimeLimitOptions<Args extends readonly unknown[]> {
  /** Which class of error says that the time is up. CheckpointError. */
  readonly failure?: new (
    message: string,
    options: ErrorOptions,
  ) => LayerwiseError;
  /** Seconds of computing that a call with these arguments may take; what is meant well needs a hundredth. 10. */
  readonly seconds?: (...args: Args) => number;
}

const CALL = new Script("call()");

/**
 * A function that is stopped when its time is up: for what a file steers so far that it may never end, such as a pattern that
 * backtracks or a template that loops. The virtual machine is there for its clock alone; it shuts nothing in. That clock goes on
 * while the process stands still or waits for a busy machine, so a call is done again until it has really computed that long.
 *
 * @param task - may be begun again, from the start
 * @param where - the file, for the message
 * @throws `failure` where the time is up, and what `task` throws
 */
export function timeLimited<Args extends readonly unknown[], Result>(
  task: (...args: Args) => Result,
  where: string,
  { failure = CheckpointError, seconds = () => 10 }: TimeLimitOptions<Args> = {},
): (...args: Args) => Result {
  const globals: { call?: () => void } = {};
  const context = createContext(globals);
  return (...args) => {
    const limit = seconds(...args);
    const start = process.cpuUsage();
    let result: Result | undefined;
    globals.call = () => {
      result = task(...args);
    };
    for (;;) {
      try {
        CALL.runInContext(context, { timeout: Math.ceil(1000 * limit) });
        return result as Result;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw cause;
        const { user, system } = process.cpuUsage(start);
        if ((user + system) / 1e6 < limit) continue;
        throw new failure(`${where}: not done after ${limit} s, expected an end. Do not use it.`, { cause });
      }
    }
  };
}
