import type { ExternalTensor, OnnxFile, OnnxNode } from "./onnx-file.ts";
import { type Problem, problem } from "./problem.ts";

/** The newest file and operators that the runtimes of transformers.js read. */
const [IR_VERSION, OPSET] = [10, 23];

const AGAIN = "Export the model again.";

/** What transformers.js asks of a decoder's graph, and ONNX Runtime of its operations. */
export function checkGraph(file: OnnxFile): Problem[] {
  return [
    ...checkVersions(file),
    ...checkNames(file),
    ...checkValues(file),
    ...file.nodes.flatMap((node) => checkBlocks(file, node)),
  ];
}

function checkVersions({ name, irVersion, opset }: OnnxFile): Problem[] {
  if (irVersion <= IR_VERSION && opset <= OPSET) return [];
  const expected = `${IR_VERSION} and ${OPSET} at most, which the runtimes of transformers.js read`;
  return [problem(name, `IR version ${irVersion}, opset ${opset}`, expected, AGAIN)];
}

/** The inputs and outputs that transformers.js gives and takes. */
function checkNames({ name, layers, inputs, outputs }: OnnxFile): Problem[] {
  const caches = (prefix: string) =>
    Array.from({ length: layers }, (_, layer) => ["key", "value"].map((part) => `${prefix}.${layer}.${part}`)).flat();
  const wanted = [
    ["input", inputs, ["input_ids", "attention_mask", "position_ids", ...caches("past_key_values")]],
    ["output", outputs, ["logits", ...caches("present")]],
  ] as const;
  return wanted.flatMap(([kind, found, expected]) =>
    expected
      .filter((one) => !found.includes(one))
      .map((one) => problem(name, `no ${kind} ${one}`, "one, as transformers.js has it", AGAIN)),
  );
}

/** Every value that is read is made before, or lies in a file. */
function checkValues({ name, inputs, outputs, nodes, tensors, constants }: OnnxFile): Problem[] {
  const known = new Set(["", ...inputs, ...tensors.keys(), ...constants]);
  const missing: string[] = [];
  for (const node of nodes) {
    missing.push(...node.inputs.filter((input) => !known.has(input)));
    for (const output of node.outputs) known.add(output);
  }
  missing.push(...outputs.filter((output) => !known.has(output)));
  return [...new Set(missing)].map((value) => problem(value, `${name} has no such tensor`, "one that is read", AGAIN));
}

/** Codes, scales and zero points have the shapes by which MatMulNBits reads them. */
function checkBlocks({ tensors }: OnnxFile, { opType, inputs, attributes }: OnnxNode): Problem[] {
  if (opType !== "MatMulNBits") return [];
  const { K, N, bits, block_size: block } = attributes;
  const blocks = Math.ceil(K / block);
  const expected = [
    [N, blocks, (block * bits) / 8],
    [N, blocks],
    [N, Math.ceil((blocks * bits) / 8)],
  ];
  return inputs.slice(1).flatMap((name, index) => {
    const tensor = tensors.get(name) as ExternalTensor | undefined;
    if (!tensor || String(tensor.shape) === String(expected[index])) return [];
    const wanted = `[${expected[index].join(", ")}], as MatMulNBits reads it`;
    return [problem(name, `[${tensor.shape.join(", ")}]`, wanted, AGAIN)];
  });
}
