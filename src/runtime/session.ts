import { createHash } from "node:crypto";
import { InferenceSession, listSupportedBackends, Tensor as OrtTensor } from "onnxruntime-node";
import { ExecutionError } from "../errors.ts";
import { f32 } from "../fx/types.ts";
import { onnx } from "../ops/onnx.ts";
import type { Profiler } from "../profile/profiler.ts";
import type { DataOf, DType } from "../tensor/dtype.ts";
import { free } from "../tensor/free.ts";
import { Tensor } from "../tensor/tensor.ts";
import { OnnxWriter } from "./onnx-writer.ts";
import { SessionProfile } from "./session-profile.ts";

/** Where graphs run. More names are accepted where ONNX Runtime offers them. */
export type Device = "cpu" | "webgpu" | "cuda" | "auto" | (string & {});

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

/** Devices that "auto" prefers to the CPU, best first. */
const ACCELERATORS = ["cuda", "webgpu"];

/** The least that a device must be able to compile. */
function probeModel(): Uint8Array {
  const writer = new OnnxWriter();
  writer.input("x", f32(1));
  writer.output("y", f32(1), writer.emit(onnx("Add", [{ value: "x" }, { value: "x" }]), "probe"));
  return writer.finish();
}

/** A model compiled for one device. */
export interface Session {
  /** @param targets - tensors that results of these names are written into, in place of new ones */
  run(inputs: ReadonlyMap<string, Tensor>, targets?: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>;
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
    const profile = this.profiler && new SessionProfile(this.profiler);
    const session = await InferenceSession.create(model, {
      ...profile?.options,
      executionProviders: [this.device],
      graphOptimizationLevel: "all",
      ...(this.threads === undefined ? {} : { intraOpNumThreads: this.threads }),
      // Each session would keep memory of its own for the largest run that it has seen, or take one block for a whole run.
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 4, // what fails is thrown
      // Each session has threads of its own: those that wait must not spin on the cores of the others and of the kernels.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    if (profile) profile.session = session;
    return {
      async run(inputs, targets = new Map()) {
        const feeds = Object.fromEntries([...inputs].map(([name, tensor]) => [name, toOrt(tensor)]));
        const fetches = Object.fromEntries(
          session.outputNames.map((name) => [name, targets.has(name) ? toOrt(targets.get(name) as Tensor) : null]),
        );
        const run = () => session.run(feeds, fetches);
        const results = await (profile?.time(run) ?? run());
        return new Map(
          Object.entries(results).map(([name, tensor]) => {
            const target = targets.get(name);
            if (target) freeCopy(tensor as OrtTensor, target);
            return [name, target ?? fromOrt(tensor as OrtTensor)];
          }),
        );
      },
    };
  }
}

/** Shares the tensor's memory with ONNX Runtime. */
function toOrt(tensor: Tensor): OrtTensor {
  const type = (ORT_TYPES as Partial<Record<DType, keyof typeof OrtTensor | string>>)[tensor.dtype];
  if (!type)
    throw new ExecutionError(`tensor: dtype ${tensor.dtype}, expected one of: ${Object.keys(ORT_TYPES).join(", ")}.`);
  return new OrtTensor(type as "float32", tensor.data as Float32Array, tensor.shape);
}

/** Smaller copies are not worth a message each. */
const LARGE = 2 ** 20;

/**
 * ONNX Runtime hands over a copy of what it has written into a target, of no use: the next one can take its place at once, which
 * the garbage collector would not see to before several times as much had come together.
 */
function freeCopy({ data }: OrtTensor, target: Tensor): void {
  const { buffer } = data as Float32Array<ArrayBuffer>;
  if (buffer !== target.data.buffer && buffer.byteLength > LARGE) free(buffer);
}

function fromOrt(tensor: OrtTensor): Tensor {
  const dtype = DTYPES.get(tensor.type);
  if (!dtype)
    throw new ExecutionError(`result of type ${tensor.type}, expected one of: ${[...DTYPES.keys()].join(", ")}.`);
  return new Tensor(dtype, tensor.dims, tensor.data as DataOf<DType>);
}
