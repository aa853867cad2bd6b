import { isDeepStrictEqual } from "node:util";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { companionsOf } from "../formats/compressed-output.ts";
import { isFloatDType } from "../tensor/convert.ts";
import { type Problem, problem } from "./problem.ts";
import type { StoredModel } from "./stored-model.ts";

/** Keys of config.json that compressing a model changes; transformers' version tells nothing. */
const CHANGED = ["dtype", "torch_dtype", "tie_word_embeddings", "quantization_config", "transformers_version"];

const DTYPES: Readonly<Record<string, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** Compares the settings of a checkpoint with those of the model that was compressed, and looks for the files beside them. */
export async function checkAgainstSource(
  { checkpoint }: StoredModel,
  source: { readonly checkpoint: Checkpoint; readonly config?: Checkpoint["config"] },
): Promise<Problem[]> {
  const { config: found } = checkpoint;
  const { config: expected = source.checkpoint.config } = source;
  const keys = [...new Set([...Object.keys(found), ...Object.keys(expected)])].filter((key) => !CHANGED.includes(key));
  const settings = keys
    .filter((key) => !isDeepStrictEqual(found[key], expected[key]))
    .map((key) =>
      problem("config.json", `${key} is ${show(found[key])}`, `${show(expected[key])}, as before compression`),
    );
  const present = new Set(await checkpoint.listFiles());
  const missing = (await companionsOf(source.checkpoint)).filter((file) => !present.has(file));
  return [
    ...settings,
    ...missing.map((file) => problem(file, "not there", "a copy of the file of the original model")),
  ];
}

/** A tied lm_head has no weight of its own, and the dtype that is named is that of some tensor. */
export function checkSettings({ checkpoint, plan }: StoredModel, source?: Checkpoint): Problem[] {
  const { config } = checkpoint;
  const problems: Problem[] = [];
  if (plan.unties && config.tie_word_embeddings !== false)
    problems.push(
      problem("config.json", "tie_word_embeddings is not false", "false, as lm_head has a weight of its own"),
    );
  const named = dtypeOf(config);
  const stored = new Set(
    [...checkpoint.tensors.values()].flatMap(({ dtype }) => (isFloatDType(dtype) ? [DTYPES[dtype]] : [])),
  );
  const isInherited = source !== undefined && dtypeOf(source.config) === named;
  if (
    named !== undefined &&
    !isInherited &&
    stored.size > 0 &&
    Object.values(DTYPES).includes(named) &&
    !stored.has(named)
  )
    problems.push(problem("config.json", `dtype is ${named}`, `${[...stored].sort().join(" or ")}, as tensors have`));
  return problems;
}

function dtypeOf({ dtype, torch_dtype }: Checkpoint["config"]): string | undefined {
  const named = dtype ?? torch_dtype;
  return typeof named === "string" ? named : undefined;
}

function show(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}
