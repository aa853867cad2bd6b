import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { createModel } from "../src/models/registry.ts";
import { Linear } from "../src/nn/linear.ts";

/** The weights of all linears, decompressed, by path. */
export async function readWeights(folder: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openCheckpoint(folder);
  const network = createModel(checkpoint.config);
  bindCheckpoint(network, checkpoint);
  const linears = network.namedModules().filter((entry): entry is [string, Linear] => entry[1] instanceof Linear);
  const weights = await Promise.all(
    linears.map(async ([path, { weight }]) => [path, (await weight.load()).data] as const),
  );
  await checkpoint.close();
  return new Map(weights);
}
