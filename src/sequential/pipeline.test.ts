import { expect, test } from "vitest";
import { loadFixtureModel, readGoldenLogits } from "../../test/fixture-model.ts";
import { SecondMoments, trace } from "../../test/second-moments.ts";
import type { Node } from "../fx/node.ts";
import { KernelPool } from "../kernels/pool.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { secondMoment } from "../modifiers/tap.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { silu } from "../ops/arithmetic.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import { dispatchForSequential } from "./dispatch.ts";
import type { Batch } from "./intermediates.ts";
import { packBatches } from "./pack-batches.ts";
import { compressInOrder } from "./pipeline.ts";
import { mergeSubgraphs, selfCheck } from "./self-check.ts";
import { TapRecorder } from "./tap-recorder.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

const golden = readGoldenLogits("llama");
const batch: Batch = {
  input_ids: golden.get("input_ids") as Tensor,
  attention_mask: golden.get("attention_mask") as Tensor,
};
const dispatch = (model: Module) => dispatchForSequential(model, { device: "cpu", threads: 1 });

const observeLinears = () => new SecondMoments((module) => module instanceof Linear);

async function compress(
  model: Module,
  targets: string[],
  modifiers: Modifier[],
  batches: readonly Batch[],
): Promise<void> {
  const kernels = await KernelPool.create(createMatrixProducts({ threads: 1 }), { threads: 1 });
  const dispatched = await dispatch(model);
  const subgraphs = traceSubgraphs(model, batches[0], targets);
  const options = { modifiers, kernels, savedDType: (): FloatDType => "F32", control: {} };
  for await (const _ of compressInOrder(subgraphs, dispatched, batches, options));
  await kernels.close();
}

test("linears that read one value share a tap, and calibrating runs neither lm_head nor a layer's last projection", async () => {
  const model = loadFixtureModel("llama");
  const dispatched = await dispatch(model);
  const last = traceSubgraphs(model, batch, model.noSplitModules)[2];
  const linears = last
    .submodules()
    .flatMap(([path, module]) => (module instanceof Linear && path !== "lm_head" ? [module] : []));
  const recorder = new TapRecorder(linears.map((module) => ({ module, reduce: secondMoment })));
  const hooks = recorder.attach();
  const compiled = await CompiledGraph.compile(last, dispatched, () => recorder.outputs).finally(hooks.remove);
  expect(linears).toHaveLength(7);
  expect(Object.keys(recorder.outputs)).toEqual(["tap_0_0", "tap_1_0", "tap_2_0", "tap_3_0"]);
  const read = compiled.parameterPaths.filter((path) => path.endsWith("weight"));
  expect(read).not.toContain("lm_head.weight");
  expect(read).not.toContain("model.layers.1.mlp.down_proj.weight");
  expect(read).toContain("model.layers.1.mlp.up_proj.weight");
});

test("a modifier sees what an earlier one did to the same subgraph (D11)", async () => {
  const observer = observeLinears();
  const zero: Modifier = {
    name: "Zero",
    options: {},
    requiresCalibrationData: true,
    initialize() {},
    async compress(stage) {
      for (const [path, module] of stage.modules) {
        if (module instanceof Linear && path.endsWith("v_proj"))
          stage.setWeight(module, Tensor.zeros("F32", module.weight.shape));
      }
    },
  };
  const model = loadFixtureModel("llama");
  await compress(model, ["LlamaDecoderLayer"], [zero, observer], [batch]);
  const energyOf = (linear: string) =>
    trace(observer.moments.get(`model.layers.0.self_attn.${linear}`) as Tensor<"F32">);
  expect(energyOf("o_proj")).toBe(0);
  expect(energyOf("q_proj")).toBeGreaterThan(0);
});

test("a module that is called in two subgraphs is compressed after the last, with what both calls saw (D12)", async () => {
  class Twice extends Module<void> {
    readonly shared = new Linear(4, 4);
    readonly between = new Linear(4, 4);
    forward(x: Node): Node {
      return this.shared.call(this.between.call(silu(this.shared.call(x))));
    }
  }
  const model = new Twice();
  const identity = new Tensor(
    "F32",
    [4, 4],
    Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0)),
  );
  for (const [name, parameter] of model.namedParameters()) {
    parameter.source = { name, dtype: "F32", shape: [4, 4], read: async () => identity };
  }
  const observer = observeLinears();
  const x = new Tensor("F32", [1, 2, 4], new Float32Array(8).fill(2));
  await compress(model, ["shared", "between"], [observer], [{ x }]);
  expect([...observer.moments.keys()]).toEqual(["between", "shared"]);
  // Both calls see two tokens: 2 in each of four columns, then silu(2).
  const second = 2 / (1 + Math.exp(-2));
  expect(trace(observer.moments.get("shared") as Tensor<"F32">)).toBeCloseTo(2 * 4 * (4 + second ** 2), 4);
});

test("neighbouring batches of equal length are run together, up to a number of tokens", () => {
  const tokens = (rows: number, length: number) => ({ input_ids: Tensor.zeros("I64", [rows, length]) });
  const packed = packBatches([tokens(1, 8), tokens(1, 8), tokens(1, 8), tokens(1, 4), tokens(2, 4)], 16);
  expect(packed.map(({ input_ids }) => input_ids.shape)).toEqual([
    [2, 8],
    [1, 8],
    [3, 4],
  ]);
});

test("the self-check passes on a right partition and names the value of a wrong one", async () => {
  const model = loadFixtureModel("llama");
  const subgraphs = traceSubgraphs(model, batch, model.noSplitModules);
  await selfCheck(subgraphs, await dispatch(model), batch);
  await selfCheck(subgraphs, await dispatch(model), batch, { memoryBudget: 0 });
  const [head, first, second] = subgraphs;
  const wrong = traceSubgraphs(model, batch, model.noSplitModules, [], { boundary: "target-closes" });
  const skipped = Object.assign(Object.create(second), {
    forward: async (...args: Parameters<typeof second.forward>) => {
      const outputs = await second.forward(...args);
      const logits = outputs.logits as Tensor<"F32">;
      return {
        logits: new Tensor(
          "F32",
          logits.shape,
          logits.data.map((value) => value * 1.01),
        ),
      };
    },
  });
  await expect(selfCheck([head, first, skipped], await dispatch(model), batch)).rejects.toThrow(
    /^self-check: logits differs by/,
  );
  await selfCheck(wrong, await dispatch(model), batch);
});

test("merged subgraphs read the model's inputs and return what the last returns", () => {
  const model = loadFixtureModel("llama");
  const merged = mergeSubgraphs(traceSubgraphs(model, batch, ["Linear"]));
  expect([...merged.inputNames]).toEqual(["input_ids", "attention_mask"]);
  expect([...merged.outputNames]).toEqual(["logits"]);
});
