/** Seconds that this machine takes for one unit of each kind of work. */
export interface Rates {
  /** A multiply-add of a matrix product. */
  readonly multiplyAdd: number;
  /** A byte that an operator reads or writes. */
  readonly byteMoved: number;
  /** A call of a compiled graph. */
  readonly call: number;
  /** A parameter: read from disk, and converted. */
  readonly parameter: number;
  /** A weight that is rounded with a second moment, beside the products. */
  readonly roundedColumn: number;
  /** An entry of a second moment that is made ready and factorised, beside the products. */
  readonly momentEntry: number;
  /** A weight that is rounded without a second moment. */
  readonly roundedWeight: number;
  /** A byte of the output: its digest, and the writing. */
  readonly outputByte: number;
}
