// Speed of the loops that are no matrix product, each beside the speed that it should come near.
//
//   npm run bench:kernels -- [--large]
//
// --large adds a Cholesky of 14,336 columns, which takes a while and 2 GB.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { formatTable } from "../src/cli/text.ts";
import { packRows } from "../src/formats/int32-packing.ts";
import { Arena } from "../src/kernels/arena.ts";
import { factorize, type KernelContext } from "../src/kernels/cholesky.ts";
import { type LowerPanels, takeLowerPanels } from "../src/kernels/lower-panels.ts";
import { roundColumns } from "../src/kernels/round-columns.ts";
import { Threads } from "../src/kernels/threads.ts";
import { minmaxRange } from "../src/observers/minmax.ts";
import { writeTensorFile } from "../src/output/tensor-file.ts";
import { createMatrixProducts } from "../src/runtime/matrix-products.ts";
import { presetScheme } from "../src/schemes/presets.ts";
import { computeQParams } from "../src/schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../src/schemes/quantize.ts";
import { bfloat16ToFloat32, float32ToBfloat16 } from "../src/tensor/bfloat16.ts";
import { Buffers } from "../src/tensor/buffers.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { fastest, measurePeak } from "./peak.ts";

const { values: options } = parseArgs({ options: { large: { type: "boolean", default: false } } });
const rows: string[][] = [];
const report = (kernel: string, unit: "GFLOP/s" | "GB/s", perSecond: number, goal: number, of: string) => {
  const share = `${((100 * perSecond) / goal).toFixed(0)}%`;
  rows.push([kernel, `${(perSecond / 1e9).toFixed(2)} ${unit}`, `${(goal / 1e9).toFixed(2)} ${unit}`, of, share]);
};

/** Small numbers of both signs, the same in every run. */
const noise = (length: number) =>
  Float32Array.from({ length }, (_, i) => ((Math.imul(i, 2654435761) >>> 8) % 2001) / 1e4 - 0.1);

/** A positive definite matrix: a strong diagonal, and little beside it. */
function definite(columns: number): LowerPanels {
  const result = takeLowerPanels(columns, new Buffers());
  for (const { matrix } of result.panels) {
    const [height, width] = matrix.shape;
    matrix.data.set(noise(height * width));
    for (let i = 0; i < width; i++) matrix.data[i * width + i] = columns;
  }
  return result;
}

const peak = await measurePeak();
const arena = new Arena();
const context: KernelContext = {
  arena,
  threads: await Threads.start(arena.memory),
  products: createMatrixProducts(),
  buffers: new Buffers(),
};
const OF_PEAK = "GEMM of 2048³";

for (const columns of [1536, 4096, ...(options.large ? [14_336] : [])]) {
  const seconds: number[] = [];
  for (let repetition = 0; repetition < (columns > 4096 ? 1 : 3); repetition++) {
    const hessian = definite(columns);
    const start = performance.now();
    await factorize(context, hessian);
    seconds.push((performance.now() - start) / 1000);
  }
  report(`Cholesky, ${columns} columns`, "GFLOP/s", columns ** 3 / 3 / Math.min(...seconds), peak, OF_PEAK);
}

const [height, width] = [1536, 1536];
const factor = definite(width);
await factorize(context, factor);
const weight = noise(height * width);
const problem = {
  weight,
  scale: new Float32Array((height * width) / 64).fill(0.01),
  groupOfColumn: Int32Array.from({ length: width }, (_, column) => Math.floor(column / 64)),
  order: Int32Array.from({ length: width }, (_, column) => width - 1 - column),
  numBits: 4,
};
const rounding = await fastest(() => roundColumns(context, factor, [problem]));
report("GPTQ columns, 1536 × 1536", "GFLOP/s", (height * width ** 2) / rounding, peak, OF_PEAK);
await context.threads.stop();

// Bytes that are read and written: what the bandwidth of memory limits.
const COUNT = 2 ** 23;
const [source, target] = [new Uint8Array(4 * COUNT).fill(1), new Uint8Array(4 * COUNT)];
const bandwidth = (8 * COUNT) / (await fastest(() => target.set(source)));
const MEMORY = "copy of 32 MB";
const perElement = async (kernel: string, bytes: number, count: number, work: () => unknown) =>
  report(kernel, "GB/s", (bytes * count) / (await fastest(work)), bandwidth, MEMORY);

const [floats, bits] = [noise(COUNT), new Uint16Array(COUNT).fill(0x3f80)];
await perElement("bfloat16 → float32", 6, COUNT, () => bfloat16ToFloat32(bits, floats));
await perElement("float32 → bfloat16", 6, COUNT, () => float32ToBfloat16(floats, bits));
const codes = new Int8Array(COUNT).fill(-3);
for (const numBits of [3, 4, 8])
  await perElement(`packing, ${numBits} bits`, 1 + numBits / 8, COUNT, () =>
    packRows(codes, [COUNT / 2048, 2048], numBits),
  );

const args = presetScheme("W4A16").weights as NonNullable<ReturnType<typeof presetScheme>["weights"]>;
for (const dtype of ["F32", "BF16"] as const) {
  const matrix =
    dtype === "F32" ? new Tensor(dtype, [COUNT / 2048, 2048], floats) : new Tensor(dtype, [COUNT / 2048, 2048], bits);
  const size = dtype === "F32" ? 4 : 2;
  const qparams = computeQParams(minmaxRange(matrix, args, "weight"), args, dtype);
  const quantized = quantizeWeight(matrix, qparams, args);
  await perElement(`minimum and maximum, ${dtype}`, size, COUNT, () => minmaxRange(matrix, args, "weight"));
  await perElement(`quantize, ${dtype}`, size + 1, COUNT, () => quantizeWeight(matrix, qparams, args));
  await perElement(`dequantize, ${dtype}`, 5, COUNT, () => dequantizeWeight(quantized));
}

const folder = await mkdtemp(join(tmpdir(), "layerwise-bench-"));
try {
  const file = join(folder, "model.safetensors");
  await writeTensorFile(file, new Map(["a", "b", "c", "d"].map((name) => [name, new Tensor("F32", [COUNT], floats)])));
  await writeFile(join(folder, "config.json"), "{}");
  const plain = (16 * COUNT) / (await fastest(() => readFile(file)));
  const checkpoint = await openCheckpoint(folder);
  const seconds = await fastest(async () => {
    for (const name of checkpoint.tensors.keys()) await checkpoint.read(name);
  });
  report("safetensors, read tensor by tensor", "GB/s", (16 * COUNT) / seconds, plain, "readFile of the same file");
  await checkpoint.close();
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(formatTable(["kernel", "speed", "goal", "which is", "share"], rows));
