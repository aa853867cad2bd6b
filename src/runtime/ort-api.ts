import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi from "koffi";
import { ExecutionError } from "../errors.ts";

/** Of ONNX Runtime's C API: old enough that every library has it, new enough for the functions below. */
const API_VERSION = 17;

/** How each type of an argument is called in C. The first three stand last, and are what a function gives back. */
const C_TYPES = {
  newPointer: koffi.out(koffi.pointer("void *")),
  newSize: koffi.out(koffi.pointer("size_t")),
  newInt: koffi.out(koffi.pointer("int")),
  pointer: "void *",
  int: "int",
  size: "size_t",
  text: "str",
  texts: koffi.pointer("str"),
  path: process.platform === "win32" ? "str16" : "str",
} as const;

interface JsTypes {
  newPointer: bigint;
  newSize: number;
  newInt: number;
  pointer: bigint | ArrayBufferView | null;
  int: number;
  size: number;
  text: string;
  texts: readonly string[];
  path: string;
}

type TypeName = keyof JsTypes;

/** Functions that return a status: their place in `struct OrtApi`, to which later versions only append, and what they take. */
const FUNCTIONS = {
  createEnv: [3, "int", "text", "newPointer"],
  createSessionFromArray: [8, "pointer", "pointer", "size", "pointer", "newPointer"],
  run: [9, "pointer", "pointer", "texts", "pointer", "size", "texts", "size", "pointer"],
  createSessionOptions: [10, "newPointer"],
  enableProfiling: [14, "pointer", "path"],
  disableMemPattern: [17, "pointer"],
  setSessionLogSeverityLevel: [22, "pointer", "int"],
  setIntraOpNumThreads: [24, "pointer", "int"],
  sessionGetOutputCount: [31, "pointer", "newSize"],
  sessionGetOutputName: [37, "pointer", "size", "pointer", "newPointer"],
  createTensorWithDataAsOrtValue: [49, "pointer", "pointer", "size", "pointer", "size", "int", "newPointer"],
  getTensorMutableData: [51, "pointer", "newPointer"],
  getTensorElementType: [60, "pointer", "newInt"],
  getDimensionsCount: [61, "pointer", "newSize"],
  getDimensions: [62, "pointer", "pointer", "size"],
  getTensorTypeAndShape: [65, "pointer", "newPointer"],
  createMemoryInfo: [69, "int", "int", "newPointer"],
  allocatorFree: [76, "pointer", "pointer"],
  getAllocatorWithDefaultOptions: [78, "newPointer"],
  sessionEndProfiling: [110, "pointer", "pointer", "newPointer"],
  addSessionConfigEntry: [130, "pointer", "text", "text"],
  createAndRegisterAllocator: [144, "pointer", "pointer", "pointer"],
  createArenaConfig: [156, "size", "int", "int", "int", "newPointer"],
} as const satisfies Record<string, readonly [number, ...TypeName[]]>;

/** Functions that free what they are given. */
const RELEASES = {
  releaseStatus: 93,
  releaseSession: 95,
  releaseValue: 96,
  releaseTensorTypeAndShapeInfo: 99,
  releaseSessionOptions: 100,
} as const;

type JsFunction<Types extends readonly unknown[]> = Types extends readonly [
  ...infer Given extends readonly TypeName[],
  infer Made extends "newPointer" | "newSize" | "newInt",
]
  ? (...args: { [Place in keyof Given]: JsTypes[Given[Place]] }) => JsTypes[Made]
  : (...args: { [Place in keyof Types]: JsTypes[Types[Place] & TypeName] }) => void;

type Functions = {
  readonly [Name in keyof typeof FUNCTIONS]: (typeof FUNCTIONS)[Name] extends readonly [number, ...infer Types]
    ? JsFunction<Types>
    : never;
};

/** The functions of ONNX Runtime's C API that are used here. Each throws an error with ONNX Runtime's message where it fails. */
type OrtApi = Functions & Readonly<Record<keyof typeof RELEASES, (object: bigint) => void>>;

/**
 * Opens the library that onnxruntime-node brings, beside its own binding: the binding copies every result into memory of its
 * own, and shares no memory between sessions.
 *
 * @throws ExecutionError where onnxruntime-node has no library for this machine
 */
export function openOrt(): OrtApi {
  const base = koffi.load(libraryFile()).func("OrtGetApiBase", "void *", [])();
  const functions: bigint = koffi.call(koffi.decode(base, "void *"), koffi.proto("void *", ["uint32_t"]), API_VERSION);
  const at = (place: number, result: string, types: readonly TypeName[]) =>
    koffi.decode(
      koffi.decode(functions, place * koffi.sizeof("void *"), "void *"),
      koffi.proto(
        result,
        types.map((type) => C_TYPES[type]),
      ),
    );
  const releases = Object.fromEntries(
    Object.entries(RELEASES).map(([name, place]) => [name, at(place, "void", ["pointer"])]),
  );
  const message = at(2, "str", ["pointer"]);
  const check = (status: bigint | null) => {
    if (!status) return;
    const failure = new Error(message(status));
    releases.releaseStatus(status);
    throw failure;
  };
  const calls = Object.entries(FUNCTIONS).map(([name, [place, ...types]]) => {
    const call = at(place, "void *", types);
    const wrapped = types.at(-1)?.startsWith("new")
      ? (...args: unknown[]) => {
          const made = [null];
          check(call(...args, made));
          return made[0];
        }
      : (...args: unknown[]) => check(call(...args));
    return [name, wrapped];
  });
  return { ...Object.fromEntries(calls), ...releases };
}

function libraryFile(): string {
  const { platform, arch } = process;
  const main = createRequire(import.meta.url).resolve("onnxruntime-node");
  const folder = join(dirname(main), "../bin/napi-v6", platform, arch);
  try {
    const name = readdirSync(folder).find((file) => /^(libonnxruntime\.(so\.1|1\.dylib)|onnxruntime\.dll)$/.test(file));
    if (name) return join(folder, name);
  } catch {}
  throw new ExecutionError(
    `onnxruntime-node: no library for ${platform} ${arch}, expected one in ${folder}. Reinstall onnxruntime-node, or use a machine that it supports.`,
  );
}
