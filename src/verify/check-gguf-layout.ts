import { basename } from "node:path";
import { ggufName } from "../gguf/tensor-names.ts";
import { isPlainType } from "../gguf/tensor-types.ts";
import { Buffer } from "../nn/parameter.ts";
import { carriedWeights } from "./carried-weights.ts";
import type { Source } from "./check-checkpoint.ts";
import { moduleOf, type OpenedGguf, storedType } from "./opened-gguf.ts";
import { peersOf } from "./outliers.ts";
import { type Problem, problem } from "./problem.ts";

const AGAIN = "Export the model again.";

/** The values of `general.file_type` of files whose weights are not quantized: F32, F16, BF16. */
const PLAIN_FILES: readonly (number | undefined)[] = [0, 1, 32];

/** Compares the tensors that a file has with those that the model which its keys describe is made of. */
export function checkGgufLayout(opened: OpenedGguf, source: Source | undefined): Problem[] {
  return [
    ...checkParts(opened),
    ...checkParameters(opened),
    ...checkUnknown(opened),
    ...checkPeers(opened),
    ...(source ? checkAsked(opened, source) : []),
  ];
}

/** A model that is split over several files tells of their number. */
function checkParts({ path, parts, reader }: OpenedGguf): Problem[] {
  const found = [parts.length, parts.reduce((sum, { tensors }) => sum + tensors.length, 0)];
  const told = [reader.optional("split.count") ?? 1, reader.optional("split.tensors.count") ?? found[1]];
  if (String(found) === String(told)) return [];
  const [has, wants] = [found, told].map(([files, tensors]) => `${tensors} tensors in ${files} files`);
  return [problem(basename(path), has, `${wants}, as its keys say`, AGAIN)];
}

/** Every parameter is there, in its shape; llama.cpp computes with vectors in F32. */
function checkParameters(opened: OpenedGguf): Problem[] {
  const { checkpoint, model, architecture } = opened;
  return model.namedParameters().flatMap(([path, parameter]) => {
    if (parameter instanceof Buffer) return [];
    const [module, name, shape] = [moduleOf(path), ggufName(architecture, path), `[${parameter.shape.join(", ")}]`];
    const info = checkpoint.tensors.get(path);
    if (!info) return [problem(module, `no tensor ${name}`, `one of shape ${shape}`, AGAIN)];
    const found = `[${info.shape.join(", ")}]`;
    if (found !== shape) return [problem(module, `${name} of shape ${found}`, `${shape}, as keys say`, AGAIN)];
    const type = storedType(opened, path);
    if (parameter.shape.length > 1 || type === "F32") return [];
    return [problem(module, `${name} of type ${type}`, "F32, as llama.cpp computes with vectors", AGAIN)];
  });
}

/** Every tensor is of a parameter that the model has. */
function checkUnknown({ checkpoint, model, architecture }: OpenedGguf): Problem[] {
  const known = new Set(model.namedParameters().map(([path]) => path));
  return [...checkpoint.tensors.keys()]
    .filter((name) => !known.has(name))
    .map((name) =>
      problem(moduleOf(name), `a tensor ${ggufName(architecture, name)}`, "none: the model has no such part", AGAIN),
    );
}

/** A weight is not left dense where most of the same linear in other layers are quantized. */
function checkPeers(opened: OpenedGguf): Problem[] {
  const groups = new Map<string, string[]>();
  for (const name of opened.checkpoint.tensors.keys())
    groups.set(peersOf(name), [...(groups.get(peersOf(name)) ?? []), name]);
  return [...groups.values()].flatMap((names) => {
    const dense = names.filter((name) => isPlainType(storedType(opened, name)));
    const quantized = names.find((name) => !dense.includes(name));
    if (quantized === undefined || 2 * dense.length >= names.length) return [];
    return dense.map((name) =>
      problem(
        moduleOf(name),
        `${storedType(opened, name)}: it is not quantized`,
        `${storedType(opened, quantized)} as of its peers`,
        AGAIN,
      ),
    );
  });
}

/** What the source holds as integers is there as such, unless the file is one whose weights are not quantized. */
function checkAsked(opened: OpenedGguf, source: Source): Problem[] {
  if (PLAIN_FILES.includes(opened.reader.optional("general.file_type"))) return [];
  const asked = [...carriedWeights(source)].filter((name) => opened.checkpoint.tensors.has(name));
  return asked
    .filter((name) => isPlainType(storedType(opened, name)))
    .map((name) =>
      problem(
        moduleOf(name),
        `${storedType(opened, name)}: it is not quantized`,
        "codes and scales, as the checkpoint has them",
        AGAIN,
      ),
    );
}
