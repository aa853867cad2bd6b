// Shows the subgraphs that a model is compressed in: which modules each calls, what it reads, what is then forgotten.
import { fileURLToPath } from "node:url";
import { createModel, openCheckpoint, traceSubgraphs } from "layerwise";

const checkpoint = await openCheckpoint(fileURLToPath(new URL("moby-tiny", import.meta.url)));
const model = createModel(checkpoint.config); // names and shapes: no weight is read
const tokens = { dtype: "I64", shape: [1, 16] } as const;
const subgraphs = traceSubgraphs(model, { input_ids: tokens, attention_mask: tokens }, model.noSplitModules);
for (const subgraph of subgraphs) {
  console.log(subgraph.code.join("\n"));
  console.log(`consumes ${[...subgraph.consumedNames].join(", ")}\n`);
}
await checkpoint.close();
