import { z } from "zod";
import { CheckpointError } from "../errors.ts";

/** What a journal says of the run that began it. */
export const fingerprintSchema = z.record(z.string(), z.string());

/** All that the bytes of a run's output depend on, by name: values for people, or digests of what is too long for them. */
export type Fingerprint = Readonly<z.output<typeof fingerprintSchema>>;

/** Longer values are digests or texts, which say nothing in a message. */
const SHORT = 40;

/** The options that are given and decide what is written. */
export function decisiveOptions<Options extends object>(
  options: Options,
  decides: Readonly<Record<keyof Options, boolean>>,
): Partial<Options> {
  const names = (Object.keys(decides) as (keyof Options & string)[]).filter((name) => decides[name]);
  const given = names.filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[name]])) as Partial<Options>;
}

/** {@link decisiveOptions}, each as an entry of a fingerprint. */
export function fingerprintOptions<Options extends object>(
  options: Options,
  decides: Readonly<Record<keyof Options, boolean>>,
): Fingerprint {
  const entries = Object.entries(decisiveOptions(options, decides));
  return Object.fromEntries(entries.map(([name, value]) => [`option ${name}`, JSON.stringify(value)]));
}

/**
 * Checks that a run may go on where another stopped.
 *
 * @param folder - what the other run has left, for the message
 * @throws CheckpointError naming everything that differs
 */
export function expectSameRun(folder: string, then: Fingerprint, now: Fingerprint): void {
  const names = [...new Set([...Object.keys(then), ...Object.keys(now)])];
  const changed = names.filter((name) => then[name] !== now[name]);
  if (changed.length === 0) return;
  const differences = changed.map((name) => `${name}${describe(then[name] ?? "none", now[name] ?? "none")}`);
  throw new CheckpointError(
    `${folder}: begun with another ${differences.join(", another ")}, expected the same to go on. ` +
      "Pass what it was begun with, or --overwrite without --resume to start anew.",
  );
}

function describe(then: string, now: string): string {
  return then.length > SHORT || now.length > SHORT ? "" : ` (${then}, now ${now})`;
}
