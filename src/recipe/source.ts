import { readFileSync, type Stats, statSync } from "node:fs";
import { extname } from "node:path";
import { RecipeError } from "../errors.ts";
import { namedRecipe } from "./named-recipes.ts";

/** A recipe's text, and what messages call it. */
interface RecipeText {
  readonly text: string;
  readonly name: string;
}

/** Bytes of a recipe's file; a recipe has a few hundred. */
const LARGEST = 4_000_000;

const EXTENSIONS: readonly string[] = [".yaml", ".yml", ".json", ".md"];

/**
 * The recipe that `source` is, that it is the name of ({@link namedRecipe}; a file of that name is `./name`), or that the file of
 * that name holds; of a `.md` file, its front matter.
 *
 * @throws RecipeError if it cannot be but a file's name and there is no such file.
 */
export function readRecipeText(source: string): RecipeText {
  const named = namedRecipe(source);
  if (named !== undefined) return { text: named, name: source };
  const found = source.includes("\n") ? undefined : stats(source);
  if (!found?.isFile()) {
    if (isText(source)) return { text: source, name: "recipe" };
    throw new RecipeError(`${source}: ${found ? "not a file" : "no such file"}, expected a recipe. Check the path.`);
  }
  if (found.size > LARGEST) {
    throw new RecipeError(`${source}: ${found.size} bytes, expected a recipe of at most ${LARGEST}.`);
  }
  const text = readText(source);
  return { text: extname(source) === ".md" ? frontMatter(text, source) : text, name: source };
}

/** Whether it may be a recipe itself: of one line, that has a key or a list. */
function isText(source: string): boolean {
  return source.includes("\n") || (/^- |[:[]/.test(source) && !EXTENSIONS.includes(extname(source)));
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RecipeError(`${path}: cannot be read (${reason}), expected a recipe. Check its rights.`, { cause });
  }
}

function stats(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // not a name that a file can have
  }
}

/** What lies between two lines `---`, or `+++`, behind as many line breaks as it has in the file. */
function frontMatter(text: string, path: string): string {
  const found = /^(---|\+\+\+)[ \t]*(\r?\n.*?)\r?\n\1[ \t]*(?:\r?\n|$)/s.exec(text);
  if (found) return found[2];
  throw new RecipeError(`${path}: no front matter, expected the recipe between two lines of ---.`);
}
