import { SmoothQuantModifier, type SmoothQuantOptions } from "./smoothquant.ts";

/**
 * Logarithmic equalization (arXiv:2308.15987): SmoothQuant with factors s_j = a_j / log2(2 + a_j), which do not depend on the
 * weights. Newer recipes write `SmoothQuantModifier` with `algorithm: log_equalization`.
 */
export class LogarithmicEqualizationModifier extends SmoothQuantModifier {
  override readonly name = "LogarithmicEqualizationModifier";

  constructor(options: SmoothQuantOptions = {}) {
    super({ algorithm: "log_equalization", ...options });
  }
}
