import type { Node } from "./node.ts";
import { formatType } from "./types.ts";

/** One node as text: `%mul: F32[1,4,16] = call_function[mul](%silu, %up)`. */
export function formatNode(node: Node): string {
  if (node.op === "output") return `return ${formatReturn(node, (input) => `%${input.name}`)}`;
  const inputs = node.inputs.map((input) => `%${input.name}`);
  return `%${node.name}: ${formatType(node.type)} = ${node.op}[${node.targetName}](${[...inputs, ...formatAttributes(node)].join(", ")})`;
}

/** The graph of `nodes` as the body of a function, one line a node: what error messages show. */
export function formatCode(nodes: readonly Node[]): string[] {
  const inputs = nodes.filter((node) => node.op === "placeholder").map((node) => node.name);
  const steps = nodes.filter((node) => node.op !== "placeholder").map((node) => `  ${formatStatement(node)};`);
  return [`forward(${inputs.join(", ")}) {`, ...steps, "}"];
}

/** Lines prefixed by their number; the one at index `marked` by `>`. */
export function numberLines(lines: readonly string[], marked = -1): string {
  const width = String(lines.length).length;
  return lines
    .map((line, index) => `${index === marked ? ">" : " "} ${String(index + 1).padStart(width)} ${line}`)
    .join("\n");
}

function formatStatement(node: Node): string {
  if (node.op === "output") return `return ${formatReturn(node, (input) => input.name)}`;
  if (node.op === "get_attr") return `const ${node.name} = this.${node.targetName}`;
  const callee = node.op === "call_module" ? `this.${node.targetName}` : node.targetName;
  const inputs = node.inputs.map((input) => input.name);
  return `const ${node.name} = ${callee}(${[...inputs, ...formatAttributes(node)].join(", ")})`;
}

function formatReturn(node: Node, format: (input: Node) => string): string {
  const names = node.attrs.names as readonly string[];
  if (node.inputs.length === 1 && names[0] === "0") return format(node.inputs[0]);
  return `{${node.inputs.map((input, index) => `${names[index]}: ${format(input)}`).join(", ")}}`;
}

function formatAttributes(node: Node): string[] {
  return Object.entries(node.attrs).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
}
