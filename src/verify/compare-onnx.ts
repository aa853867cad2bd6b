import { VerificationError } from "../errors.ts";
import type { Batch } from "../sequential/intermediates.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Source } from "./check-checkpoint.ts";
import type { LogitsFidelity } from "./compare-logits.ts";
import { compareModels, type Finding } from "./compare-models.ts";
import type { ComparisonOptions } from "./compare-subgraphs.ts";
import { DecoderSession } from "./decoder-session.ts";
import { type OnnxFile, openOnnxFiles } from "./onnx-file.ts";
import { openOnnxModel } from "./onnx-model.ts";
import { type Problem, problem, problemOf } from "./problem.ts";

/**
 * The most by which the logits of a file may differ from those that our evaluation of its weights gives, in nats a token. Sums
 * in another order make 2e-11 of SmolLM2, float16 makes 1e-5. Activations that are rounded make 0.04: where one differs by a
 * step, the layers after it go their own way.
 */
const LARGEST_DIVERGENCE = { float32: 1e-6, float16: 1e-3, int8: 0.1 };

/** Tokens of a sample that are fed one by one, with the cache of those before them. */
const STEPS = 4;

/**
 * Compares every model of an exported folder with the checkpoint that it was exported from: by its weights as they decode,
 * by what these compute, and by its logits as ONNX Runtime runs it, which must also be those of its weights.
 */
export async function compareOnnxFolder(
  folder: string,
  original: Source,
  batches: readonly Batch[],
  options: ComparisonOptions,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const file of openOnnxFiles(folder))
    findings.push(await compareFile(folder, file, original, batches, options));
  return findings;
}

async function compareFile(
  folder: string,
  file: OnnxFile,
  { checkpoint, model: original }: Source,
  batches: readonly Batch[],
  options: ComparisonOptions,
): Promise<Finding> {
  let session: DecoderSession | undefined;
  const run = async ({ input_ids }: Batch): Promise<Tensor<"F32">> => {
    session ??= await DecoderSession.open(folder, file.name, options.threads);
    const tokens = Array.from(input_ids.data, Number);
    return session.decode(tokens, Math.max(1, tokens.length - STEPS));
  };
  try {
    const { model, kinds } = openOnnxModel(file, checkpoint);
    const compared = await compareModels({ model, kinds, original }, batches, { ...options, run });
    const { fidelity, problems, evaluated } = compared;
    return {
      ...compared,
      fidelity: { file: file.name, ...fidelity },
      problems: [...problems, ...judgeEvaluated(file, evaluated)],
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return { problems: [problemOf(error)], notes: [] };
  } finally {
    await session?.release();
  }
}

function judgeEvaluated({ name, tensors }: OnnxFile, { klDivergence }: LogitsFidelity): Problem[] {
  const stored = new Set([...tensors.values()].map(({ dtype }) => dtype));
  const limit = LARGEST_DIVERGENCE[stored.has("I8") ? "int8" : stored.has("F16") ? "float16" : "float32"];
  if (klDivergence <= limit) return [];
  const found = `${klDivergence.toPrecision(3)} nats a token from what its weights give`;
  return [problem(`logits of ${name}`, found, `at most ${limit}`, "Export the model again.")];
}
