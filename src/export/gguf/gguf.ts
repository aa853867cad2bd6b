import { ConfigError } from "../../errors.ts";
import { Linear } from "../../nn/linear.ts";
import { transformGroups } from "../../nn/online-transform.ts";
import type { ExportFormat } from "../export-format.ts";
import type { ExportSubject } from "../export-source.ts";
import { CARRIER_ARGS, type CarrierType, carrierOf } from "./carrier.ts";

/** The file format of llama.cpp. */
export const gguf: ExportFormat = {
  name: "gguf",
  dtypes: ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"],
  embeddingDtypes: ["F16", "BF16", "Q8_0"],
  argsFor(dtype = "Q4_0") {
    if (Object.hasOwn(CARRIER_ARGS, dtype)) return CARRIER_ARGS[dtype as CarrierType];
    throw new ConfigError(`dtype: ${dtype}, expected one of ${Object.keys(CARRIER_ARGS).join(", ")}.`);
  },
  async check(subject) {
    checkSchemes(subject);
  },
  async write() {
    throw new ConfigError("gguf: not written yet.");
  },
};

function checkSchemes({ model, quantization }: ExportSubject): void {
  if (transformGroups(model).length > 0) {
    throw new ConfigError("gguf: transforms at run time, expected none: llama.cpp has none. Leave QuIPModifier out.");
  }
  for (const [path, module] of model.namedModules()) {
    const weights = quantization.schemes.get(module)?.weights;
    if (module instanceof Linear && weights) carrierOf(weights, module.weight.shape, path);
  }
}
