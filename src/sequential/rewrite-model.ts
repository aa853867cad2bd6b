import { CompressionError } from "../errors.ts";
import { narrow } from "../formats/narrow.ts";
import { type Precision, savedDType } from "../formats/output-plan.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { type Parameter, rewriteParameter } from "../nn/parameter.ts";
import type { Value } from "../runtime/executable.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type DispatchOptions, dispatchForSequential } from "./dispatch.ts";
import type { Batch } from "./intermediates.ts";
import { runInOrder } from "./run-in-order.ts";
import { expectEqual } from "./self-check.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

/** Tokens that are enough to see a difference. */
const SAMPLE_LENGTH = 16;

/** How a model is rewritten. */
interface RewriteOptions extends DispatchOptions {
  /** Whether the model is run before and after each change. True. */
  readonly check?: boolean;
  /** The dtype to save in, to which changed parameters are rounded. "auto". */
  readonly precision?: Precision;
}

/**
 * Lets modifiers change the parameters of the whole model: see `rewrite` of {@link Modifier}. Changed parameters are computed
 * when they are read, so that none is in memory before. They are rounded to the dtype that is saved once,
 * after all changes.
 *
 * @throws CompressionError naming a change after which the model computes something else
 */
export async function rewriteModel(
  model: CausalLM,
  modifiers: readonly Modifier[],
  { check = true, precision = "auto", ...options }: RewriteOptions = {},
): Promise<void> {
  if (!modifiers.some(({ rewrite }) => rewrite)) return;
  const before = check ? await runSample(model, options) : undefined;
  const changed = new Set<Parameter>();
  for (const modifier of modifiers) {
    for (const { name, parameters } of modifier.rewrite?.(model) ?? []) {
      for (const [parameter, rewrite] of parameters) {
        rewriteParameter(parameter, rewrite);
        changed.add(parameter);
      }
      if (before) expectEqual(await runSample(model, options), before, differs(`${modifier.name}: ${name}`));
    }
  }
  for (const parameter of changed) {
    const [name, dtype] = [parameter.source?.name ?? "", savedDType(parameter, precision)];
    rewriteParameter(parameter, (value) => toFloat32(narrow(name, value, dtype)));
  }
}

/** What a model gives for a few tokens, computed subgraph by subgraph. */
async function runSample(model: CausalLM, options: DispatchOptions): Promise<Record<string, Value>> {
  const tokens = model.lm_head.outFeatures;
  const ids = BigInt64Array.from({ length: SAMPLE_LENGTH }, (_, index) => BigInt((index * 7 + 1) % tokens));
  const batch: Batch = { input_ids: new Tensor("I64", [1, SAMPLE_LENGTH], ids) };
  const dispatched = await dispatchForSequential(model, options);
  for await (const outputs of runInOrder(traceSubgraphs(model, batch, model.noSplitModules), dispatched, [batch]))
    return outputs;
  return {};
}

function differs(change: string) {
  return (value: string, difference: number, limit: number) =>
    new CompressionError(
      `${change}: ${value} of a sample differ by ${difference} from what they were before, expected at most ${limit}. ` +
        "Leave it out of the recipe.",
    );
}
