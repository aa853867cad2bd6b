import { readFileSync } from "node:fs";

/** What a reader is shown, in the order in which it is run: paths in the project. */
export const DOCUMENTS = [
  "README.md",
  "docs/command-line.md",
  "docs/export.md",
  "docs/library.md",
  "docs/recipes.md",
  "docs/figures.md",
];

/** The text of all documents, one after another. */
export const documentation = DOCUMENTS.map((path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")).join(
  "\n",
);

/** Contents of the documents' code blocks in a language, in order. */
export function codeBlocks(language: string): string[] {
  return [...documentation.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === language)
    .map(([, , content]) => content);
}

/**
 * What output must look like that a document shows: text and whole numbers as they are; other numbers and seconds, which
 * depend on the machine, may differ. A line `…` stands for any lines.
 */
export function transcript(shown: string): RegExp {
  const lines = shown.trimEnd().split("\n");
  return new RegExp(`^${lines.map(linePattern).join("")}$`);
}

function linePattern(line: string): string {
  if (line.trim() === "…") return "(?:.*\\n)*?";
  const literal = line.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return `${literal.replace(/\d+\\\.\d+/g, "\\d+\\.\\d+").replace(/\b\d+ s\b/g, "\\d+ s")}\\n`;
}
