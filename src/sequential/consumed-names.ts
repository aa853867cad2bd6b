import type { Subgraph } from "./subgraph.ts";

/** Notes for each intermediate that its last reader consumes it: after that it can be forgotten. In place. */
export function traceConsumedNames(subgraphs: readonly Subgraph[]): void {
  const seen = new Set<string>();
  for (const subgraph of subgraphs.toReversed()) {
    subgraph.consumedNames = new Set([...subgraph.inputNames].filter((name) => !seen.has(name)));
    for (const name of subgraph.inputNames) seen.add(name);
  }
}
