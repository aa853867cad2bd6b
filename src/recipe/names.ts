/** A name as recipes spell it, in our spelling: `num_bits` is `numBits`. */
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** Fields of `T` in our spelling. */
export type CamelCased<T> = { [Field in keyof T as CamelCase<Field & string>]: T[Field] };

/** `block_size` to `blockSize`. */
function toCamelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** `blockSize` to `block_size`. */
export function toSnakeCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `value` with its own fields in our spelling, and without those that are undefined. */
export function camelCased<T extends object>(value: T): CamelCased<T> {
  return renamed(value, toCamelCase) as CamelCased<T>;
}

/** `value` with its own fields as recipes spell them, and without those that are undefined. */
export function snakeCased(value: object): Record<string, unknown> {
  return renamed(value, toSnakeCase);
}

function renamed(value: object, rename: (name: string) => string): Record<string, unknown> {
  const given = Object.entries(value).filter(([, entry]) => entry !== undefined);
  return Object.fromEntries(given.map(([name, entry]) => [rename(name), entry]));
}
