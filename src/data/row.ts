/** One row of a data set: values by column name. */
export type Row = Readonly<Record<string, unknown>>;

/** Whether `value` can be a row. */
export function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
