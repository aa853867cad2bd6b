import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { RunControl } from "../sequential/events.ts";
import type { ExportSource, ExportSubject } from "./export-source.ts";

/** What a format is told beside the model. */
export interface ExportSettings extends RunControl {
  /** Those of the format's types that are asked for, one file or set of files each; none leaves the choice to the format. */
  readonly dtypes: readonly string[];
  /** The type of the embedding, and of a last projection that is not quantized; the format chooses where it is left out. */
  readonly embeddingDtype?: string;
  /** What names of files begin with, where the format is free in them. */
  readonly name: string;
  /** Reads back what was written before it appears, where the format can. True. */
  readonly verify?: boolean;
  /** Bytes of weights in one file; more are split over several, where the format can. */
  readonly maxShardSize?: number;
}

/** A format of another runtime, which a finished checkpoint can be written in. */
export interface ExportFormat {
  /** As `format` of a run or of an export spells it. */
  readonly name: string;
  /** What `dtypes` may name. */
  readonly dtypes: readonly string[];
  /** What `embeddingDtype` may be. */
  readonly embeddingDtypes: readonly string[];
  /** How weights are to be quantized so that the format, or its `dtype`, carries them exactly. */
  argsFor(dtype?: string): Partial<QuantizationArgs>;
  /**
   * Refuses at once what `write` would not do: before a calibration, and without reading weights. What the file will lack,
   * it warns of.
   *
   * @throws ConfigError for a model that the format does not know, and for a scheme that it cannot carry; the message says
   * which scheme to choose
   */
  check(subject: ExportSubject, settings: ExportSettings): Promise<void>;
  /** Writes all files into an empty folder; weights come one at a time. */
  write(source: ExportSource, folder: string, settings: ExportSettings): Promise<void>;
}
