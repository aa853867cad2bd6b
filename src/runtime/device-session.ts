import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { DataOf, DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { dtypeOfResult, elementType } from "./element-types.ts";
import type { Device, Session, SessionOptions } from "./session.ts";

/** Compiles an ONNX model for an accelerator, by onnxruntime-node: results are copied from there. */
export async function createDeviceSession(
  model: Uint8Array,
  device: Device,
  { threads, profile }: SessionOptions,
): Promise<Session> {
  const session = await InferenceSession.create(model, {
    ...(profile && { enableProfiling: true, profileFilePrefix: profile.prefix }),
    executionProviders: [device],
    graphOptimizationLevel: "all",
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    enableMemPattern: false, // it would take one block for a whole run
    logSeverityLevel: 4, // what fails is thrown
  });
  profile?.onEnd(() => session.endProfiling());
  return {
    async run(inputs, targets = new Map()) {
      const feeds = Object.fromEntries([...inputs].map(([name, tensor]) => [name, toOrt(tensor)]));
      const run = () => session.run(feeds);
      const results = await (profile?.time(run) ?? run());
      return new Map(
        Object.entries(results).map(([name, tensor]) => {
          const result = fromOrt(tensor as OrtTensor);
          const target = targets.get(name);
          target?.data.set(result.data as never);
          return [name, target ?? result];
        }),
      );
    },
  };
}

function toOrt({ dtype, data, shape }: Tensor): OrtTensor {
  return new OrtTensor(elementType(dtype).name as "float32", data as Float32Array, shape);
}

function fromOrt({ type, dims, data }: OrtTensor): Tensor {
  return new Tensor(dtypeOfResult("name", type), dims, data as DataOf<DType>);
}
