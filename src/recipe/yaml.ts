import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from "yaml";
import { RecipeError } from "../errors.ts";

/** More aliases than a recipe has use for are an attack: each may multiply what is written once. */
const MAX_ALIASES = 100;

const LONGEST_MESSAGE = 200;

/** Values in a recipe once each alias and variable is written out: what holds more was not written by hand. */
const MAX_VALUES = 100_000;

/** A parsed YAML text that knows where each node lies in it. JSON is YAML too. */
export class YamlText {
  readonly document: Document.Parsed;
  readonly #lines = new LineCounter();

  /** @param name - what messages call the text @throws RecipeError at the first thing that is not YAML */
  constructor(
    text: string,
    readonly name: string,
  ) {
    const options = { lineCounter: this.#lines, prettyErrors: false, stringKeys: true, merge: true };
    this.document = parseDocument(text, options);
    const [problem] = [...this.document.errors, ...this.document.warnings]; // a warning is a tag that nobody knows
    if (problem) {
      const message = problem.message.slice(0, LONGEST_MESSAGE); // it repeats what it found
      throw new RecipeError(`${this.#position(problem.pos[0])}: ${message}.`, { cause: problem });
    }
    this.checkSize();
  }

  /** `name:line:column` of a node. */
  at(node: unknown): string {
    const offset = (node as Node | null | undefined)?.range?.[0];
    return offset === undefined ? this.name : this.#position(offset);
  }

  /** What an alias stands for; any other node is itself. */
  resolve(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.document) : node;
  }

  /** @throws RecipeError if the text holds more values than {@link checkValues} lets pass */
  checkSize(): void {
    this.checkValues(this.#count(this.document.contents, new Map()));
  }

  /** @throws RecipeError if `values`, how many there are in all, is more than a recipe has use for */
  checkValues(values: number): void {
    if (values <= MAX_VALUES) return;
    throw new RecipeError(
      `${this.name}: ${values} values with every alias written out, expected at most ${MAX_VALUES}. Shorten it.`,
    );
  }

  /** A node as plain values. */
  toJS(node: unknown): unknown {
    return (node as Node | null)?.toJS(this.document, { maxAliasCount: MAX_ALIASES }) ?? null;
  }

  /** Key, its text and value of each entry; none if the node is no mapping. */
  entries(node: unknown): { key: Node; name: string; value: unknown }[] {
    const map = this.resolve(node);
    if (!isMap(map)) return [];
    return map.items.map(({ key, value }: Pair) => ({ key: key as Node, name: nameOf(key), value }));
  }

  /** `name:line:column` of the field that `path` leads to from a node, or of the last one on the way that is there. */
  locate(start: { key: Node; value: unknown }, path: readonly PropertyKey[]): string {
    let { key, value } = start;
    for (const part of path) {
      const node = this.resolve(value);
      const item = isSeq(node) ? node.items[Number(part)] : undefined;
      const next = item ? { key: item as Node, value: item } : this.entries(node).find(({ name }) => name === part);
      if (!next) break;
      ({ key, value } = next);
    }
    return this.at(key);
  }

  /** Values in and below a node; `known` has those below each anchor that came before. */
  #count(node: unknown, known: Map<string, number>): number {
    if (isAlias(node)) return known.get(node.source) ?? 0;
    if (isPair(node)) {
      if (nameOf(node.key) === "__proto__") throw this.#reserved(node.key);
      return this.#count(node.value, known);
    }
    const inner = isCollection(node) ? node.items : [];
    const count = inner.reduce((sum: number, item) => sum + this.#count(item, known), 1);
    const { anchor } = (node ?? {}) as { anchor?: string };
    if (anchor) known.set(anchor, count);
    return count;
  }

  #reserved(key: unknown): RecipeError {
    return new RecipeError(`${this.at(key)}: a key __proto__, which JavaScript reserves, expected another. Rename it.`);
  }

  #position(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.name}:${line}:${col}`;
  }
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}
