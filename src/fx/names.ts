/** Words that generated code could not use as a variable. */
const RESERVED = new Set(
  "arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof undefined var void while with yield".split(
    " ",
  ),
);

/** Hands out names that are identifiers, each once. */
export class Namespace {
  readonly #taken = new Set<string>(RESERVED);

  /**
   * `candidate` made an identifier; on collision `_1`, `_2`, … is appended. With `repeat`, as for a module called again,
   * the suffix is `__2`, `__3`, …, so that the name of another module (`layers_1`) is never taken.
   */
  create(candidate: string, { repeat = false } = {}): string {
    const legal = candidate.replace(/[^0-9A-Za-z_]/g, "_").replace(/^(?=\d)|^$/, "_");
    let name = legal;
    for (let count = 1; this.#taken.has(name); count++) name = repeat ? `${legal}__${count + 1}` : `${legal}_${count}`;
    this.#taken.add(name);
    return name;
  }
}
