import { selfTimes } from "../profile/self-times.ts";
import type { Span } from "../profile/span.ts";
import { formatTable } from "./text.ts";

/** Lines that a summary has at most. */
const LONGEST = 20;

/** What the time was spent on, by phase and work, the longest first. */
export function formatSelfTimes(spans: readonly Span[]): string {
  const times = selfTimes(spans);
  const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const rows = times
    .slice(0, LONGEST)
    .map(({ phase, work, milliseconds }) => [
      phase,
      work,
      `${(milliseconds / 1000).toFixed(2)} s`,
      `${((100 * milliseconds) / total).toFixed(1)}%`,
    ]);
  return formatTable(["phase", "work", "time", "share"], rows);
}
