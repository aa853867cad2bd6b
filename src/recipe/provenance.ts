import { basename } from "node:path";
import type { CalibrationData } from "../data/calibration.ts";
import { runtimeVersion } from "../runtime/runtime-version.ts";
import { version } from "../version.ts";
import { snakeCased } from "./names.ts";

/** What a run was given beside its recipe. */
interface RunArguments {
  /** A folder or a Hub id. */
  readonly model: string;
  /** Where that lies: the folder itself, or the download. */
  readonly folder: string;
  /** A file, or rows, which have no name. */
  readonly dataset?: unknown;
  /** What was read of it, if anything was. */
  readonly data?: Pick<CalibrationData, "digest" | "settings">;
  /** The other options that decide what is written. */
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * All that it takes to run a recipe again with the same result, as lines `name: value`: versions, the model's name, arguments
 * as recipes spell them, and a digest of the tokens that it was calibrated on. Of paths only the last part is told.
 */
export function describeRun({ model, folder, dataset, data, options }: RunArguments): string[] {
  const { tokenizer, ...settings } = data?.settings ?? {};
  const facts = {
    layerwise: version,
    onnxruntime: runtimeVersion,
    model: model === folder ? basename(model) : model,
    ...(data && {
      dataset: typeof dataset === "string" ? basename(dataset) : "rows",
      calibrationDataSha256: data.digest,
    }),
    ...settings,
    ...Object.fromEntries(Object.entries(options).filter(([name]) => !(name in settings) && name !== "tokenizer")),
  };
  return Object.entries(snakeCased(facts)).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${show(value)}`],
  );
}

/** A number without bound has no spelling in JSON. */
function show(value: unknown): string {
  return value === Number.POSITIVE_INFINITY ? "none" : JSON.stringify(value);
}
