import type { Tensor } from "../tensor/tensor.ts";
import type { SessionProfile } from "./session-profile.ts";

/** Where graphs run. More names are accepted where ONNX Runtime offers them. */
export type Device = "cpu" | "webgpu" | "cuda" | "auto" | (string & {});

/** A model compiled for one device. */
export interface Session {
  /** @param targets - tensors that results of these names are written into, in place of new ones */
  run(inputs: ReadonlyMap<string, Tensor>, targets?: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>;
}

/** How one session computes. */
export interface SessionOptions {
  /** For one operator; by default one for each core. */
  readonly threads?: number;
  readonly profile?: SessionProfile;
}
