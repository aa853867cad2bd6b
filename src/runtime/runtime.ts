import { createHash } from "node:crypto";
import { listSupportedBackends } from "onnxruntime-node";
import { ExecutionError } from "../errors.ts";
import { f32 } from "../fx/types.ts";
import { onnx } from "../ops/onnx.ts";
import type { Profiler } from "../profile/profiler.ts";
import { createCpuSession } from "./cpu-session.ts";
import { createDeviceSession } from "./device-session.ts";
import { OnnxWriter } from "./onnx-writer.ts";
import type { Device, Session } from "./session.ts";
import { SessionProfile } from "./session-profile.ts";

/** Devices that "auto" prefers to the CPU, best first. */
const ACCELERATORS = ["cuda", "webgpu"];

/** The least that a device must be able to compile. */
function probeModel(): Uint8Array {
  const writer = new OnnxWriter();
  writer.input("x", f32(1));
  writer.output("y", f32(1), writer.emit(onnx("Add", [{ value: "x" }, { value: "x" }]), "probe"));
  return writer.finish();
}

/** Where and how a {@link Runtime} computes. */
export interface RuntimeOptions {
  readonly device?: Device;
  readonly threads?: number;
  readonly profiler?: Profiler;
}

/** Compiles ONNX models for one device; equal models share one session. */
export class Runtime {
  readonly #sessions = new Map<string, Promise<Session>>();

  private constructor(
    readonly device: Device,
    readonly threads: number | undefined,
    private readonly profiler: Profiler | undefined,
  ) {}

  /**
   * @param device - "cpu" by default; "auto" takes the first accelerator that works, else the CPU
   * @param threads - threads for one operator; by default one for each core
   * @param profiler - is told of every run, and of the operators inside it
   * @throws ExecutionError that lists what is available, for a device that is not
   */
  static async create({ device = "cpu", threads, profiler }: RuntimeOptions = {}): Promise<Runtime> {
    const offered = listSupportedBackends().map(({ name }) => name);
    const candidates = device === "auto" ? [...ACCELERATORS, "cpu"] : [device];
    const failures: unknown[] = [];
    for (const candidate of candidates.filter((name) => offered.includes(name))) {
      const runtime = new Runtime(candidate, threads, profiler);
      try {
        await runtime.compile(probeModel());
        return runtime;
      } catch (failure) {
        failures.push(failure);
      }
    }
    const others = offered.filter((name) => name !== device);
    throw new ExecutionError(
      `device ${device}: not available, expected one of: ${others.join(", ")}. Choose another device.`,
      { cause: failures[0] },
    );
  }

  /** Number of models compiled so far. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** The session for an ONNX model; the same one for the same bytes. */
  compile(model: Uint8Array): Promise<Session> {
    const key = createHash("sha256").update(model).digest("hex");
    const session = this.#sessions.get(key) ?? this.#create(model);
    this.#sessions.set(key, session);
    return session;
  }

  async #create(model: Uint8Array): Promise<Session> {
    const options = { threads: this.threads, profile: this.profiler && new SessionProfile(this.profiler) };
    return this.device === "cpu" ? createCpuSession(model, options) : createDeviceSession(model, this.device, options);
  }
}
