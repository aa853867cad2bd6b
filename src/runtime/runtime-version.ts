import { env } from "onnxruntime-node";

/** The version of ONNX Runtime, on which the last bits of sums depend. */
export const runtimeVersion: string = env.versions.common;
