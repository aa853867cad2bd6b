import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { KernelPool } from "../kernels/pool.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { probeCompression } from "./compression-probe.ts";
import { probeDisk } from "./disk-probe.ts";
import { probeGraphs } from "./graph-probe.ts";
import type { Rates } from "./rates.ts";

/** Measures this machine, in about two seconds, with the very code that a run takes. */
export async function measureRates(checkpoint: Checkpoint, runtime: Runtime, kernels: KernelPool): Promise<Rates> {
  const graphs = await probeGraphs(runtime);
  return { ...graphs, ...(await probeCompression(kernels, graphs.multiplyAdd)), ...(await probeDisk(checkpoint)) };
}
