// A worker process of a run: has its share of the calibration batches, and runs the run's subgraphs on them.
import { openCheckpoint } from "./checkpoint/checkpoint.ts";
import { prepareModel } from "./preparation.ts";
import { dispatchForSequential } from "./sequential/dispatch.ts";
import { LocalExecutor } from "./sequential/local-executor.ts";
import { traceForRun } from "./sequential/trace-for-run.ts";
import { serveExecutor } from "./workers/serve.ts";
import type { WorkerSetup } from "./workers/start-workers.ts";
import { receiveTensor } from "./workers/worker-calls.ts";

serveExecutor(async (setup) => {
  const { folder, recipe, options, batches: sent, memoryBudget, ...where } = setup as WorkerSetup;
  const checkpoint = await openCheckpoint(folder);
  const { model, modifiers } = await prepareModel(checkpoint, { ...options, recipe, selfCheck: false });
  const batches = sent.map((batch) =>
    Object.fromEntries(Object.entries(batch).map(([name, tensor]) => [name, receiveTensor(tensor)])),
  );
  const subgraphs = traceForRun(model, modifiers, batches[0], options);
  const dispatched = await dispatchForSequential(model, where);
  return { modifiers, dispatched, executor: new LocalExecutor(subgraphs, dispatched, batches, { memoryBudget }) };
});
