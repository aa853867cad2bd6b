import fc from "fast-check";

/** Texts that have broken readers before: reserved names, deep nesting, numbers out of range, marks of other encodings. */
const HOSTILE_TEXTS: readonly string[] = [
  "",
  "__proto__",
  "constructor",
  "\0",
  "\ufeff",
  "\u{1f600}",
  "../../x",
  "/etc/passwd",
  "re:((a+)+)+$",
  "9".repeat(400),
  "[".repeat(3000),
  "{a: ".repeat(500),
  "x".repeat(5000),
  "&a [*a, *a]",
  "<<: *a",
  "\n---\n",
  "$missing",
  "!!binary aGk=",
  "{% for i in range(999) %}{{ i }}",
  "{{ messages.constructor }}",
  "{{ ''|indent(99999) }}",
];

/** Values that no one means where a size, a name or an object is expected. */
const HOSTILE_VALUES: readonly unknown[] = [
  ...[-1, 0, 1, 3, 1.5, 1e9, 2 ** 31, 2 ** 53, 1e308, 5e-324, null, true, [], {}, [[]], [null], { a: {} }],
  ...HOSTILE_TEXTS,
];

/** One change of bytes; positions are taken modulo the length. */
type Edit = readonly [kind: "flip" | "insert" | "remove" | "repeat" | "cut", at: number, bytes: Uint8Array];

const pieces = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 8 }),
  fc.constantFrom(...HOSTILE_TEXTS).map((text) => new TextEncoder().encode(text)),
);
const edits: fc.Arbitrary<Edit> = fc.tuple(
  fc.constantFrom("flip", "insert", "remove", "repeat", "cut"),
  fc.nat(),
  pieces,
);

/** `valid` with up to four changes: bits flipped, pieces put in, taken out or repeated, the end cut off. */
export function mutatedBytes(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.array(edits, { maxLength: 4 }).map((changes) => changes.reduce(applyEdit, valid));
}

/** A text with its bytes changed, or with up to three of its words replaced by others of its own or by hostile ones. */
export function mutatedText(valid: string): fc.Arbitrary<string> {
  const words: readonly string[] = valid.match(/\w+|\s+|[^\w\s]/g) ?? [];
  const word = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...words) }, fc.constantFrom(...HOSTILE_TEXTS));
  const replacements = fc.array(fc.tuple(fc.nat(words.length - 1), word), { maxLength: 3 });
  const replaced = replacements.map((list) => list.reduce((text, [at, by]) => text.with(at, by), words).join(""));
  const bytes = mutatedBytes(new TextEncoder().encode(valid)).map((changed) => new TextDecoder().decode(changed));
  return fc.oneof(replaced, bytes);
}

function applyEdit(bytes: Uint8Array, [kind, at, piece]: Edit): Uint8Array {
  const position = at % (bytes.length + 1);
  const [before, after] = [bytes.subarray(0, position), bytes.subarray(position)];
  switch (kind) {
    case "flip":
      return Buffer.concat([
        before,
        after.subarray(0, piece.length).map((byte, i) => byte ^ piece[i]),
        after.subarray(piece.length),
      ]);
    case "insert":
      return Buffer.concat([before, piece, after]);
    case "remove":
      return Buffer.concat([before, after.subarray(piece.length)]);
    case "repeat":
      return Buffer.concat([before, after.subarray(0, 40), after]);
    case "cut":
      return before;
  }
}

/** One change of a JSON value; the place is taken modulo the number of places. */
type Change = readonly [kind: "replace" | "delete" | "rename" | "move", at: number, value: unknown];

const changes: fc.Arbitrary<Change> = fc.tuple(
  fc.constantFrom("replace", "replace", "replace", "delete", "rename", "move"),
  fc.nat(),
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...HOSTILE_VALUES) }, { weight: 1, arbitrary: fc.jsonValue() }),
);

/** `valid`, which JSON can hold, with up to three of its members replaced, deleted, renamed or put elsewhere. */
export function mutatedValue(valid: object): fc.Arbitrary<object> {
  return fc.array(changes, { maxLength: 3 }).map((list) => list.reduce(applyChange, valid));
}

/** {@link mutatedValue} as JSON, at times with its bytes changed too. */
export function mutatedJson(valid: object): fc.Arbitrary<Uint8Array> {
  const bytes = mutatedValue(valid).map((value) => new TextEncoder().encode(JSON.stringify(value)));
  return fc.oneof({ weight: 4, arbitrary: bytes }, { weight: 1, arbitrary: bytes.chain(mutatedBytes) });
}

function applyChange(valid: object, [kind, at, value]: Change): object {
  const root = structuredClone(valid);
  const places = placesIn(root);
  if (places.length === 0) return root;
  const [parent, key] = places[at % places.length];
  const old = parent[key];
  if (kind === "replace") define(parent, key, value);
  else if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
  if (kind === "rename") define(parent, typeof value === "string" ? value : "__proto__", old);
  if (kind === "move") define(places[(at + 7) % places.length][0], key, old);
  return root;
}

type Members = Record<string, unknown>;

/** Every member at any depth, with what holds it. */
function placesIn(value: unknown): [parent: Members, key: string][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).flatMap((key) => [[value as Members, key], ...placesIn((value as Members)[key])]);
}

/** Sets a member of any name; assigning to `__proto__` would not. */
function define(parent: object, key: string, value: unknown): void {
  if (Array.isArray(parent)) parent[Number(key) || 0] = value;
  else Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
}
