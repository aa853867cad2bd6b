import type { Estimate } from "../estimate/estimate.ts";
import { totalOf } from "../estimate/memory.ts";
import { formatBytes, formatSeconds, formatTable } from "./text.ts";

/** What a run is going to take, for people. */
export function formatEstimate({ subgraphs, tokens, seconds, peakBytes, outputBytes }: Estimate): string {
  const total = Object.values(seconds).reduce((sum, part) => sum + part, 0);
  const parts = (values: object, format: (value: number) => string) =>
    Object.entries(values).map(([name, value]) => `${words(name)} ${format(value)}`);
  const rows = [
    ["time", formatSeconds(total), parts(seconds, formatSeconds).join(", ")],
    ["peak memory", formatBytes(totalOf(peakBytes)), parts(peakBytes, formatBytes).join(", ")],
    ["output", formatBytes(outputBytes), "weights, exactly"],
  ];
  return `${subgraphs} subgraphs, ${tokens.toLocaleString("en")} tokens\n${formatTable(["", "expected", "of which"], rows)}`;
}

/** `calibrationAndPropagation` as words. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
