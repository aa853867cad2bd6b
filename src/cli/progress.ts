import type { Phase, ProgressEvent } from "../sequential/events.ts";
import { formatBytes, formatSeconds, printable } from "./text.ts";

/** How much of one subgraph's time each phase takes, as far as the first subgraphs have shown. */
interface Position {
  readonly phase: Phase;
  readonly subgraph: number;
  readonly subgraphs: number;
}

/** Where progress is written, and whether a line there can be written over. */
interface ProgressTarget {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Shows the events of a run: one line that changes on a terminal, plain lines elsewhere, or JSON, one event a line. */
export class ProgressPrinter {
  readonly #start = performance.now();
  #position?: Position;
  #error = "";

  constructor(
    private readonly target: ProgressTarget,
    private readonly json = false,
  ) {}

  readonly onProgress = (event: ProgressEvent): void => {
    if (this.json) this.target.write(`${JSON.stringify(event)}\n`);
    else this.#show(event);
  };

  /** Ends the line that changes. */
  finish(): void {
    if (!this.json && this.target.isTTY && this.#position) this.target.write("\r\x1b[K");
  }

  #show(event: ProgressEvent): void {
    switch (event.type) {
      case "phase":
        this.#position = event;
        this.#line(0);
        break;
      case "batch":
        if (this.target.isTTY) this.#line((event.batch + 1) / event.batches);
        break;
      case "module":
        this.#module(event);
        break;
      case "resumed":
        this.#permanent(`going on after ${event.subgraphs} finished subgraphs`);
        break;
      case "warning":
        this.#permanent(printable(`warning: ${event.message}`));
        break;
      default:
        event satisfies never;
    }
  }

  #module(event: Extract<ProgressEvent, { type: "module" }>): void {
    const { module, error, errorInDecibels, fallback, seconds } = event;
    const relative = errorInDecibels === undefined ? "" : `, ${errorInDecibels.toFixed(1)} dB`;
    this.#error = error === undefined ? "" : `, error ${error.toPrecision(4)}${relative}`;
    const instead = fallback === undefined ? "" : `, ${fallback}`;
    if (!this.target.isTTY) this.#permanent(`  ${module}${this.#error}${instead} (${seconds.toFixed(2)} s)`);
  }

  #line(share: number): void {
    if (!this.#position) return;
    const { phase, subgraph, subgraphs } = this.#position;
    const text = `(${subgraph + 1}/${subgraphs}) ${phase}${this.#error}${this.#rest(subgraph, subgraphs)}, ${memory()}`;
    if (this.target.isTTY) this.target.write(`\r\x1b[K${text} ${bar(share)}`);
    else this.target.write(`${text}\n`);
  }

  #permanent(text: string): void {
    this.target.write(this.target.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`);
  }

  /** Time left, once a few subgraphs are done: the rest takes as long as those on average. */
  #rest(done: number, all: number): string {
    if (done < 2) return "";
    const spent = (performance.now() - this.#start) / 1000;
    return `, ${formatSeconds((spent / done) * (all - done))} left`;
  }
}

function memory(): string {
  return `${formatBytes(process.memoryUsage.rss())} resident`;
}

function bar(share: number): string {
  const width = 20;
  const filled = Math.round(width * share);
  return `[${"#".repeat(filled)}${".".repeat(width - filled)}]`;
}
