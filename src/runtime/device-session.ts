import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { ExecutionError } from "../errors.ts";
import type { DataOf, DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Device, Session, SessionOptions } from "./session.ts";

/** ONNX Runtime's names of the element types that cross its boundary. */
const ORT_TYPES = {
  F32: "float32",
  F64: "float64",
  I64: "int64",
  I32: "int32",
  I8: "int8",
  U8: "uint8",
  BOOL: "bool",
} as const;
const DTYPES = new Map<string, DType>(Object.entries(ORT_TYPES).map(([dtype, name]) => [name, dtype as DType]));

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

function toOrt(tensor: Tensor): OrtTensor {
  const type = (ORT_TYPES as Partial<Record<DType, string>>)[tensor.dtype];
  if (!type)
    throw new ExecutionError(`tensor: dtype ${tensor.dtype}, expected one of: ${Object.keys(ORT_TYPES).join(", ")}.`);
  return new OrtTensor(type as "float32", tensor.data as Float32Array, tensor.shape);
}

function fromOrt(tensor: OrtTensor): Tensor {
  const dtype = DTYPES.get(tensor.type);
  if (!dtype)
    throw new ExecutionError(`result of type ${tensor.type}, expected one of: ${[...DTYPES.keys()].join(", ")}.`);
  return new Tensor(dtype, tensor.dims, tensor.data as DataOf<DType>);
}
