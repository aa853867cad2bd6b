import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { compressedModules } from "../formats/bind-checkpoint.ts";
import { describeScheme } from "../formats/describe-scheme.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { transformedModules } from "../nn/online-transform.ts";
import { Buffer, loadPieces, type Parameter } from "../nn/parameter.ts";
import { Comparison } from "../tensor/comparison.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { findOutliers, peersOf } from "./outliers.ts";
import { type Problem, problem } from "./problem.ts";

/** How near a parameter is to what it was before. */
export interface WeightFidelity {
  /** Path of the module, or of a parameter that is no `weight`. */
  readonly module: string;
  /** How it is quantized, in words; "as they are" where it is not. */
  readonly weights: string;
  /** Energy of the original values over that of the differences, in dB; infinite (null in JSON) where there are none. */
  readonly signalToNoise: number;
  /** Cosine of the angle between the values, as one vector, and the original ones. */
  readonly cosine: number;
}

const DENSE = "as they are";

/** How the weights of a checkpoint's modules are quantized, by path, in words. */
export function weightKinds(model: CausalLM, checkpoint: Checkpoint): Map<string, string> {
  return new Map([...compressedModules(model, checkpoint)].map(([path, { scheme }]) => [path, describeScheme(scheme)]));
}

/** A model that was written, and what it was written from. */
export interface ModelPair {
  readonly model: CausalLM;
  /** How its weights are quantized, by path of the module. */
  readonly kinds: ReadonlyMap<string, string>;
  readonly original: CausalLM;
}

/**
 * Compares each parameter of a model with the same of another, with one of each in memory, or pieces of them. Parameters of modules
 * that transform what they read or give at run time are others, and left out.
 */
export async function compareWeights(
  { model, kinds, original }: ModelPair,
  signal?: AbortSignal,
): Promise<WeightFidelity[]> {
  const originals = new Map<string, Parameter>();
  for (const [path, module] of original.namedModules())
    for (const [field, parameter] of module.ownParameters()) originals.set(`${path}.${field}`, parameter);
  const transformed = transformedModules(model);
  const weights: WeightFidelity[] = [];
  for (const [path, parameter] of model.namedParameters()) {
    signal?.throwIfAborted();
    const before = originals.get(path);
    if (parameter instanceof Buffer || !before) continue; // such as the matrix of a transform
    if (transformed.has(path.slice(0, path.lastIndexOf(".")))) continue;
    const module = path.replace(/\.weight$/, "");
    const kind = path === module ? undefined : kinds.get(module);
    const { signalToNoise, cosine } = await compareParameters(parameter, before);
    weights.push({ module, weights: kind ?? DENSE, signalToNoise, cosine });
  }
  return weights;
}

/** Piece by piece, where both can be read so. */
async function compareParameters(found: Parameter, expected: Parameter): Promise<Comparison> {
  const comparison = new Comparison();
  if (!found.source?.readRows || !expected.source?.readRows) {
    comparison.add((await found.load()).data, (await expected.load()).data);
    return comparison;
  }
  const pieces = loadPieces(expected);
  for await (const { data } of loadPieces(found)) {
    const { value } = await pieces.next();
    comparison.add(data, (value as Tensor<"F32">).data);
  }
  return comparison;
}

/** Between layers, what is rounded alike differs by less, in dB. */
const FLOOR = 10;
/** In dB: a weight no nearer than this tells hardly more of the original than zeros do, which are at 0. */
const LOST = 1;
/** Parameters that are nearer than this, in dB, were not changed but for their dtype. */
const UNCHANGED = 40;

/**
 * Tells of parameters that are far out of line with their peers, and of those whose error is as large as they are: all peers of
 * a kind may be wrong, and some have none. Where smoothing or rotations have moved factors between
 * parameters, so that those which are not quantized differ too, weights do not compare, and nothing is said of them.
 */
export function judgeWeights(weights: readonly WeightFidelity[], onNote: (note: string) => void): Problem[] {
  const moved = movedKinds(weights);
  if (moved.length > 0) {
    onNote(
      `weights are not judged one by one: ${moved.join(", ")} differ in most layers, as after smoothing or rotation`,
    );
    return [];
  }
  const measured = weights.map(({ module, weights: kind, signalToNoise }) => ({
    path: module,
    kind,
    value: signalToNoise,
  }));
  const outliers = findOutliers(measured, FLOOR).map(({ path, value, typical }) =>
    problem(path, describe(value), `about ${typical.toFixed(1)} dB as of its peers`),
  );
  const told = new Set(outliers.map(({ where }) => where));
  const lost = weights.filter(({ module, signalToNoise }) => !(signalToNoise >= LOST) && !told.has(module));
  return [
    ...outliers,
    ...lost.map(({ module, signalToNoise }) => problem(module, describe(signalToNoise), `more than ${LOST}`)),
  ];
}

function describe(signalToNoise: number): string {
  return `its weight is ${signalToNoise.toFixed(1)} dB above its error`;
}

/** Kinds of parameters that are not quantized, and are changed all the same in most places. */
function movedKinds(weights: readonly WeightFidelity[]): string[] {
  const dense = weights.filter(({ weights: kind }) => kind === DENSE);
  const kinds = [...new Set(dense.map(({ module }) => peersOf(module)))];
  return kinds.filter((kind) => {
    const peers = dense.filter(({ module }) => peersOf(module) === kind);
    const changed = peers.filter(({ signalToNoise }) => !(signalToNoise >= UNCHANGED));
    return peers.length > 1 && 2 * changed.length > peers.length;
  });
}
