import type { RunControl } from "../sequential/events.ts";
import type { ExportSource } from "./export-source.ts";

/** Tells that a dense checkpoint is rounded to nearest in these types of a format, which no calibration made up for. */
export function warnOfRounding(
  { compressed }: Pick<ExportSource, "compressed">,
  dtypes: readonly string[],
  { onProgress }: RunControl,
): void {
  if (compressed.size > 0 || dtypes.length === 0) return;
  const message = `${dtypes.join(", ")}: the checkpoint is dense; weights are rounded to nearest, without calibration. Compress it first.`;
  onProgress?.({ type: "warning", message });
}
