import { expect, test } from "vitest";
import { loadFixtureModel } from "../../test/fixture-model.ts";
import { CheckpointError, LayerwiseError } from "../errors.ts";
import { Weights } from "../sequential/weights.ts";
import { ExecutorService } from "./executor-service.ts";
import { receiveError, sendError } from "./worker-calls.ts";

const onBatch = () => undefined;

test("a call before the start is refused", async () => {
  const service = new ExecutorService(() => Promise.reject(new Error("never built")), onBatch);
  expect(() => service.restart()).toThrow("worker process: called before it was started, expected a start.");
});

test("names that the worker's model does not have are refused", async () => {
  const model = loadFixtureModel("llama");
  const dispatched = { model, weights: new Weights(model) };
  const service = new ExecutorService(async () => ({ executor: {} as never, dispatched, modifiers: [] }), onBatch);
  await service.start({});
  const value = { dtype: "F32", shape: [1], data: Float32Array.of(1) } as const;
  await expect(service.replace("model.nothing", value)).rejects.toThrow("worker process: no parameter model.nothing,");
  const tap = { path: "lm_head", reduction: "second_moment" };
  await expect(service.calibrate(0, [tap])).rejects.toThrow("worker process: no tap second_moment of module lm_head,");
});

test("an error keeps its class, message and stack on its way", () => {
  const error = receiveError(structuredClone(sendError(new CheckpointError("gone"))));
  expect(error).toBeInstanceOf(CheckpointError);
  expect([error.message, error.stack?.includes("executor-service.test.ts")]).toEqual(["gone", true]);
  expect(receiveError(sendError(new RangeError("bad")))).not.toBeInstanceOf(LayerwiseError);
  expect(receiveError(sendError("a text")).message).toBe("a text");
});
