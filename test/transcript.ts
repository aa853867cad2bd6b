import { readFileSync } from "node:fs";

/** The README's text. */
export const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

/** Contents of the README's code blocks in a language, in order. */
export function readmeBlocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
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
