import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from "yaml";
import { RecipeError } from "../errors.ts";

/** More aliases than a recipe has use for are an attack: each may multiply what is written once. */
const MAX_ALIASES = 100;

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
    if (problem) throw new RecipeError(`${this.#position(problem.pos[0])}: ${problem.message}.`, { cause: problem });
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

  #position(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.name}:${line}:${col}`;
  }
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}
