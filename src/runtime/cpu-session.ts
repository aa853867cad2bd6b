import koffi from "koffi";
import { ExecutionError } from "../errors.ts";
import { allocate, byteSize, type DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { openOrt } from "./ort-api.ts";
import type { Session, SessionOptions } from "./session.ts";

/** Numbers in ONNX of the element types that cross ONNX Runtime's boundary. */
const ELEMENT_TYPES = new Map<DType, number>([
  ["F32", 1],
  ["F64", 11],
  ["I64", 7],
  ["I32", 6],
  ["I8", 3],
  ["U8", 2],
  ["BOOL", 9],
]);
const DTYPES = new Map([...ELEMENT_TYPES].map(([dtype, type]) => [type, dtype]));

const SILENT = 4; // what fails is thrown
const [DEVICE_ALLOCATOR, ARENA_ALLOCATOR] = [0, 1];
const DEFAULT_MEMORY = 0;

const ort = openOrt();
const environment = ort.createEnv(SILENT, "layerwise");
const memory = ort.createMemoryInfo(DEVICE_ALLOCATOR, DEFAULT_MEMORY);
const allocator = ort.getAllocatorWithDefaultOptions();
shareArena();

/** Sessions that nobody can run any more. */
const unused = new FinalizationRegistry<bigint>((session) => ort.releaseSession(session));

/**
 * Compiles an ONNX model for the CPU. What a run takes and what it gives back where it has a target is shared with ONNX
 * Runtime, nothing copied. A run takes this thread, and `threads` - 1 of its own.
 *
 * @throws Error with ONNX Runtime's message for a model that does not compile
 */
export function createCpuSession(model: Uint8Array, { threads, profile }: SessionOptions): Session {
  const handle = compile(model, threads, profile?.prefix);
  profile?.onEnd(() => ort.allocatorFree(allocator, ort.sessionEndProfiling(handle, allocator)));
  const outputNames = namesOfOutputs(handle);
  const session: Session = {
    async run(inputs, targets = new Map()) {
      const values: bigint[] = [];
      const share = (tensor: Tensor) => values[values.push(toOrt(tensor)) - 1];
      try {
        const feeds = BigUint64Array.from([...inputs.values()], share);
        const results = BigUint64Array.from(outputNames, (name) => {
          const target = targets.get(name);
          return target ? share(target) : 0n;
        });
        const { length } = results;
        const run = async () =>
          ort.run(handle, null, [...inputs.keys()], feeds, feeds.length, outputNames, length, results);
        try {
          await (profile?.time(run) ?? run());
        } finally {
          values.push(...results.filter((value) => value && !values.includes(value)));
        }
        return new Map(outputNames.map((name, place) => [name, targets.get(name) ?? fromOrt(results[place])]));
      } finally {
        for (const value of values) ort.releaseValue(value);
      }
    },
  };
  unused.register(session, handle);
  return session;
}

/** One arena for the runs of all sessions: each would keep memory of its own for the largest run that it has seen. */
function shareArena(): void {
  const [noLimit, extendByWhatIsAsked, byDefault] = [0, 1, -1];
  const arena = ort.createMemoryInfo(ARENA_ALLOCATOR, DEFAULT_MEMORY);
  const config = ort.createArenaConfig(noLimit, extendByWhatIsAsked, byDefault, byDefault);
  ort.createAndRegisterAllocator(environment, arena, config);
}

function compile(model: Uint8Array, threads: number | undefined, profilePrefix: string | undefined): bigint {
  const options = ort.createSessionOptions();
  try {
    ort.disableMemPattern(options); // it would take one block for a whole run
    ort.setSessionLogSeverityLevel(options, SILENT);
    ort.addSessionConfigEntry(options, "session.use_env_allocators", "1");
    // Each session has threads of its own: those that wait must not spin on the cores of the others and of the kernels.
    ort.addSessionConfigEntry(options, "session.intra_op.allow_spinning", "0");
    if (threads !== undefined) ort.setIntraOpNumThreads(options, threads);
    if (profilePrefix !== undefined) ort.enableProfiling(options, profilePrefix);
    return ort.createSessionFromArray(environment, model, model.length, options);
  } finally {
    ort.releaseSessionOptions(options);
  }
}

function namesOfOutputs(session: bigint): string[] {
  return Array.from({ length: ort.sessionGetOutputCount(session) }, (_, place) => {
    const name = ort.sessionGetOutputName(session, place, allocator);
    try {
      return koffi.decode.string(name);
    } finally {
      ort.allocatorFree(allocator, name);
    }
  });
}

/** Shares the tensor's memory with ONNX Runtime, until the value is released. */
function toOrt({ dtype, data, byteLength, shape }: Tensor): bigint {
  const type = ELEMENT_TYPES.get(dtype);
  if (!type)
    throw new ExecutionError(`tensor: dtype ${dtype}, expected one of: ${[...ELEMENT_TYPES.keys()].join(", ")}.`);
  const dims = BigInt64Array.from(shape, BigInt);
  return ort.createTensorWithDataAsOrtValue(memory, data, byteLength, dims, dims.length, type);
}

/** A copy of what ONNX Runtime has made. */
function fromOrt(value: bigint): Tensor {
  const info = ort.getTensorTypeAndShape(value);
  try {
    const type = ort.getTensorElementType(info);
    const dtype = DTYPES.get(type);
    if (!dtype)
      throw new ExecutionError(`result of element type ${type}, expected one of: ${[...DTYPES.values()].join(", ")}.`);
    const dims = new BigInt64Array(ort.getDimensionsCount(info));
    ort.getDimensions(info, dims, dims.length);
    const shape = [...dims].map(Number);
    const data = allocate(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    );
    const bytes = data.length * byteSize(dtype);
    if (bytes > 0) copy(ort.getTensorMutableData(value), data);
    return new Tensor(dtype, shape, data);
  } finally {
    ort.releaseTensorTypeAndShapeInfo(info);
  }
}

function copy(from: bigint, to: ArrayBufferView): void {
  new Uint8Array(to.buffer, to.byteOffset, to.byteLength).set(new Uint8Array(koffi.view(from, to.byteLength)));
}
